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
