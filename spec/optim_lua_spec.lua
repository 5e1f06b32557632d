-- optim.SGD and its like: optimizers by the paths of a model's parameters. The update rules
-- themselves are in optim_spec.lua.

local convlua = require "convlua"
local nn, optim = convlua.nn, convlua.optim

local function model()
  return nn.Sequential {
    { dense = nn.Dense { input_size = 2, output_size = 2 } },
    { norm = nn.BatchNorm { feature_count = 2 } },
  }
end

local function step(net, optimizer)
  optimizer:zero_grad()
  net(convlua.tensor { { 1, 2 }, { 3, -1 } }):square():sum():backward()
  optimizer:step()
end

describe("an optimizer", function()
  it("moves a model's parameters against their gradients", function()
    local net = model()
    local sgd = optim.SGD(net, { learning_rate = 0.5 })
    net(convlua.tensor { { 1, 2 }, { 3, -1 } }):sum():backward()
    local wanted = net.norm.offset - net.norm.offset.grad * 0.5
    sgd:step()
    assert.close(net.norm.offset, wanted)
  end)

  it("takes a list of tensors or a lone layer too", function()
    local w = convlua.tensor({ 1, 2 }, { requires_grad = true })
    w:sum():backward()
    optim.SGD({ w }, { learning_rate = 1 }):step()
    assert.close(w, { 0, 1 })
    assert.equal(2, optim.Adam(nn.Dense { input_size = 2, output_size = 2 }).parameter_count)
  end)

  it("has its numbers as fields", function()
    local sgd = optim.SGD(model(), { learning_rate = 0.1, momentum = 0.9 })
    assert.equal(0.9, sgd.momentum)
    sgd.learning_rate = 0.01
    assert.equal(0.01, sgd.learning_rate)
    assert.raises_like(function() sgd.learning_rat = 1 end, "learning_rat")
    assert.truthy(tostring(sgd):find("SGD", 1, true))
  end)

  it("gives groups numbers of their own, by path", function()
    local net = model()
    local sgd = optim.SGD(net, {
      learning_rate = 0.1,
      groups = function(path)
        if path:find "^dense" then return { learning_rate = 0 } end
      end,
    })
    local before = net.dense.weight:to_bytes()
    local scale = net.norm.scale:to_bytes()
    step(net, sgd)
    assert.equal(before, net.dense.weight:to_bytes())
    assert.not_equal(scale, net.norm.scale:to_bytes())
  end)

  it("decays weights only when told so", function()
    local net = model()
    local sgd = optim.SGD(net, {
      learning_rate = 1, weight_decay = 0.25, groups = optim.weights_only,
    })
    for _, parameter in net:named_parameters() do
      parameter.grad = convlua.zeros(parameter.shape)
    end
    local wanted = net.dense.weight * 0.75
    sgd:step()
    assert.close(net.dense.weight, wanted)
    assert.close(net.norm.scale, { 1, 1 })
  end)

  it("names the parameter with a bad gradient", function()
    local net = model()
    local sgd = optim.SGD(net, { learning_rate = 1, groups = optim.weights_only })
    step(net, sgd)
    assert.is_nil(sgd:first_non_finite())
    net.norm.scale.grad = convlua.tensor { 1, 0 / 0 }
    assert.equal("norm.scale", sgd:first_non_finite())
  end)

  it("goes on from its state as if nothing had happened", function()
    local a, b = model(), model()
    local options = { learning_rate = 0.1, momentum = 0.9, groups = optim.weights_only }
    local sgd = optim.SGD(a, options)
    step(a, sgd)
    step(a, sgd)
    sgd.learning_rate = 0.05
    b:load_state(a:state())
    local other = optim.SGD(b, options)
    other:load_state(sgd:state())
    assert.equal(0.05, other.learning_rate)
    assert.equal(2, other.step_count)
    step(a, sgd)
    step(b, other)
    assert.equal(a.dense.weight:to_bytes(), b.dense.weight:to_bytes())
  end)

  it("names its state by path and says what does not fit", function()
    local net = model()
    local sgd = optim.SGD(net, { learning_rate = 0.1, momentum = 0.9 })
    local state = sgd:state()
    assert.truthy(state["velocity.dense.weight"] and state.step)
    state["velocity.dense.bias"] = convlua.zeros { 7 }
    state["velocity.norm.scale"] = nil
    state["velocity.tail"] = convlua.zeros { 1 }
    local ok, problem = pcall(sgd.load_state, sgd, state)
    assert.is_false(ok)
    for _, part in ipairs { "missing: velocity.norm.scale", "unexpected: velocity.tail",
      "velocity.dense.bias: float32 {2} here, float32 {7} in the state" } do
      assert.truthy(problem:find(part, 1, true), problem)
    end
  end)

  it("refuses what it cannot optimize", function()
    assert.raises_like(function() optim.SGD(nil, {}) end,
      "SGD: a model or a list of tensors expected, got nil")
    assert.raises_like(function() optim.SGD(convlua.zeros { 1 }) end, "got a tensor")
    assert.raises_like(function() optim.Adam {} end, "Adam: there is nothing to optimize")
    assert.raises_like(function() optim.SGD(model(), { rate = 1 }) end, "unknown option 'rate'")
    assert.raises_like(function() optim.SGD(model(), { groups = {} }) end,
      "SGD: groups must be a function(path, parameter), got table")
  end)
end)

describe("optim.Muon", function()
  local function weight(values)
    return convlua.tensor(values, { dtype = "float64", requires_grad = true })
  end

  it("makes an update whose singular values are about 1", function()
    convlua.manual_seed(1)
    for _, shape in ipairs { { 12, 5 }, { 5, 12 }, { 3, 3, 2, 7 } } do
      local w = convlua.zeros { dtype = "float64", requires_grad = true, table.unpack(shape) }
      local g = convlua.randn { dtype = "float64", table.unpack(shape) }
      optim.Muon({ w }, { learning_rate = 0 }):step() -- nothing to do without a gradient
      local slope = (w * g):sum()
      slope:backward()
      optim.Muon({ w }, { learning_rate = 1, momentum = 0 }):step()
      local u = w:detach():reshape(-1, shape[#shape])
      if u.shape[1] < u.shape[2] then u = u:transpose() end
      for _, square in ipairs(convlua.linalg.eigh(u:transpose():matmul(u)):to_table()) do
        assert.is_true(square > 0.3 and square < 1.7, tostring(square))
      end
      assert.is_true((w * g):sum():item() < 0) -- downhill
    end
  end)

  -- X <- a X + b X (X^T X) + c X (X^T X)^2 from X = u / |u|, as it is written.
  local function iterated(u, steps)
    local x = u / (u:square():sum():sqrt() + 1e-7)
    for _ = 1, steps do
      local gram = x:transpose():matmul(x)
      x = x * 3.4445 + x:matmul(gram * -4.7750 + gram:matmul(gram) * 2.0315)
    end
    return x
  end

  -- What one step from zero with this gradient makes, in `dtype`.
  local function update(g, steps, dtype)
    local w = convlua.zeros { dtype = dtype, requires_grad = true, table.unpack(g.shape) }
    w.grad = g:to(dtype)
    optim.Muon({ w }, { learning_rate = -1, momentum = 0, steps = steps }):step()
    return w:detach():to "float64"
  end

  it("iterates as Newton and Schulz's formula does", function()
    convlua.manual_seed(1)
    local g = convlua.randn { 30, 8, dtype = "float64" }
    for steps = 1, 7 do
      assert.close(iterated(g, steps), update(g, steps, "float64"), 1e-12)
    end
  end)

  it("is as exact as the formula in float32 where singular values are next to nothing", function()
    convlua.manual_seed(1)
    local g = convlua.randn({ 90, 3 }, { dtype = "float64" }):matmul(convlua.randn({ 3, 24 }, { dtype = "float64" }))
    g = g + convlua.randn({ 90, 24 }, { dtype = "float64" }) * 1e-6
    for _, steps in ipairs { 3, 5, 8 } do
      local exact = iterated(g, steps)
      local function gap(x) return (x:to "float64" - exact):abs():max():item() end
      assert.is_true(gap(update(g, steps, "float32")) < 3 * gap(iterated(g:to "float32", steps)))
    end
  end)

  it("is the sign of the gradient, about, for a matrix of one element", function()
    local w = weight { { 5 } }
    w:mul(-3):sum():backward()
    optim.Muon({ w }, { learning_rate = 0.5, steps = 1, momentum = 0, nesterov = false }):step()
    assert.close(5 + 0.5 * (3.4445 - 4.7750 + 2.0315), w:item(), 1e-6)
  end)

  it("keeps the norm of what is normalized behind it", function()
    local w = weight { { 3, 0 }, { 0, 4 } }
    w:sum():backward()
    optim.Muon({ w }, { learning_rate = 0, keep_norm = true }):step()
    assert.close(2 ^ 0.5, w:square():sum():sqrt():item(), 1e-12)
    assert.close(0.75, (w[1][1] / w[2][2]):item(), 1e-12)
  end)

  it("remembers its velocity across a state", function()
    local function run(stop)
      local w = weight { { 1, 2 }, { 3, 4 } }
      local muon = optim.Muon({ w }, { learning_rate = 0.1 })
      for i = 1, 4 do
        muon:zero_grad()
        w:square():sum():backward()
        muon:step()
        if i == stop then
          local state = muon:state()
          muon = optim.Muon({ w }, { learning_rate = 7 })
          muon:load_state(state)
        end
      end
      return w
    end
    assert.close(run(), run(2), 0)
    local muon = optim.Muon { weight { { 1 } } }
    assert.raises_like(function() muon:load_state {} end, "velocity.1 must be a tensor {1, 1}")
  end)

  it("wants matrices", function()
    assert.raises_like(function() optim.Muon(3) end, "Muon: a list of tensors expected, got number")
    assert.raises_like(function() optim.Muon {} end, "a list of tensors expected, got an empty one")
    assert.raises_like(function() optim.Muon { weight { 1, 2 } } end,
      "Muon: parameter 1: a tensor of 2 axes or more expected, got one of shape {2}")
    assert.raises_like(function() optim.Muon({ weight { { 1 } } }, { lr = 1 }) end,
      "Muon: unknown option 'lr'; there are keep_norm, learning_rate,")
  end)
end)

describe("optim.Several", function()
  it("runs optimizers side by side, their learning rates in proportion", function()
    local a = convlua.tensor({ 1 }, { requires_grad = true })
    local b = convlua.tensor({ 1 }, { requires_grad = true })
    local both = optim.Several { optim.SGD({ a }, { learning_rate = 0.1 }), optim.SGD({ b }, { learning_rate = 0.2 }) }
    assert.equal(0.1, both.learning_rate)
    both.learning_rate = 0.3
    a:add(b):sum():backward()
    both:step()
    assert.close({ 0.7, 0.4 }, { a:item(), b:item() })
    both:zero_grad()
    assert.is_nil(a.grad)
    both:step()
    assert.close(0.7, a:item())
    assert.raises_like(function() both.momentum = 1 end, "'momentum' cannot be set here")
    assert.raises_like(function() optim.Several { {} } end, "entry 1: an optimizer with a learning rate expected")
  end)

  it("has the state of all", function()
    local function pair()
      local a = convlua.tensor({ 1 }, { requires_grad = true })
      return a, optim.Several { optim.SGD({ a }, { momentum = 0.9 }), optim.Muon { a:reshape(1, 1) } }
    end
    local a, one = pair()
    a:sum():backward()
    one:step()
    local _, two = pair()
    two:load_state(one:state())
    assert.close(one.list[1]:state()["velocity.1"], two.list[1]:state()["velocity.1"], 0)
    assert.raises_like(function() two:load_state { ["3.step"] = 1 } end, "unexpected '3.step' in the state")
  end)
end)
