-- Optimizers: steps by hand and by the equations of the papers, groups, clipping, state.

local convlua = require "convlua"
local core = require "convlua.core"

local function parameter(values, dtype)
  local x = convlua.tensor(values, dtype or "float64")
  x.requires_grad = true
  return x
end

-- Gives w the gradient g by way of the loss sum(w * g).
local function set_gradient(w, g)
  w.grad = nil
  local loss = w * convlua.tensor(g, w.dtype)
  if #w.shape > 0 then loss = loss:sum() end
  loss:backward()
end

local function optimizer(kind, parameters, options)
  local o = { kind = kind, parameters = parameters }
  for key, value in pairs(options or {}) do o[key] = value end
  return core.optimizer(o)
end

-- The gradients of three steps.
local gradients = { { 1, -2 }, { 0.5, 4 }, { -3, 0.25 } }

-- Runs them on w = {1, 2} with `rule(w, g, t)` giving the new w of one element, and compares.
local function check(kind, options, rule)
  local w = parameter { 1, 2 }
  local o = optimizer(kind, { w }, options)
  local expected, memory = { 1, 2 }, { {}, {} }
  for t, g in ipairs(gradients) do
    set_gradient(w, g)
    o:step()
    for i = 1, 2 do expected[i] = rule(expected[i], g[i], t, memory[i]) end
    assert.close(expected, w, 1e-14)
  end
end

describe("SGD", function()
  it("lets a velocity that nothing feeds end at zero, not at numbers that slow a CPU down", function()
    local w = parameter({ 1, 2 }, "float32")
    local o = optimizer("SGD", { w }, { learning_rate = 0.1, momentum = 0.9 })
    for t = 1, 1000 do
      set_gradient(w, t == 1 and { 1, -2 } or { 0, 0 })
      o:step()
    end
    assert.same({ 0, 0 }, o:state()["velocity.1"]:to_table())
  end)

  it("steps against the gradient", function()
    check("SGD", { learning_rate = 0.1 }, function(w, g) return w - 0.1 * g end)
  end)

  it("keeps the learning rate inside the velocity", function()
    check("SGD", { learning_rate = 0.1, momentum = 0.9 }, function(w, g, _, s)
      s.v = 0.9 * (s.v or 0) - 0.1 * g
      return w + s.v
    end)
  end)

  it("looks ahead with nesterov", function()
    check("SGD", { learning_rate = 0.1, momentum = 0.9, nesterov = true }, function(w, g, _, s)
      s.v = 0.9 * (s.v or 0) - 0.1 * g
      return w + 0.9 * s.v - 0.1 * g
    end)
  end)

  it("adds weight decay to the gradient, or takes it from the weights", function()
    check("SGD", { learning_rate = 0.1, momentum = 0.5, weight_decay = 0.2 }, function(w, g, _, s)
      s.v = 0.5 * (s.v or 0) - 0.1 * (g + 0.2 * w)
      return w + s.v
    end)
    check("SGD", { learning_rate = 0.1, momentum = 0.5, weight_decay = 0.2, decoupled = true },
      function(w, g, _, s)
        s.v = 0.5 * (s.v or 0) - 0.1 * g
        return (1 - 0.1 * 0.2) * w + s.v
      end)
  end)

  it("decays its rate to learning_rate/(1 + decay*t)", function()
    check("SGD", { learning_rate = 0.1, decay = 0.5 }, function(w, g, t)
      return w - 0.1 / (1 + 0.5 * t) * g
    end)
  end)
end)

describe("Adam", function()
  local function adam(options)
    return function(w, g, t, s)
      local wd = options.weight_decay or 0
      if options.decoupled then w = w - options.lr * wd * w else g = g + wd * w end
      s.m, s.v = 0.9 * (s.m or 0) + 0.1 * g, 0.99 * (s.v or 0) + 0.01 * g * g
      s.u = math.max(s.u or 0, s.v)
      local v = options.amsgrad and s.u or s.v
      return w - options.lr * s.m / (1 - 0.9 ^ t) / (math.sqrt(v / (1 - 0.99 ^ t)) + 1e-8)
    end
  end

  it("follows algorithm 1 of its paper", function()
    check("Adam", { learning_rate = 0.01, beta2 = 0.99 }, adam { lr = 0.01 })
  end)

  it("has a first step of the learning rate, whatever the gradient", function()
    local w = parameter { 1, 1 }
    local o = optimizer("Adam", { w })
    set_gradient(w, { 1000, -0.001 })
    o:step()
    assert.close({ 1 - 0.001, 1 + 0.001 }, w, 1e-7)
  end)

  it("divides by the largest mean square with amsgrad", function()
    check("Adam", { learning_rate = 0.01, beta2 = 0.99, amsgrad = true },
      adam { lr = 0.01, amsgrad = true })
  end)

  it("takes weight decay into the gradient, AdamW from the weights", function()
    check("Adam", { learning_rate = 0.01, beta2 = 0.99, weight_decay = 0.1 },
      adam { lr = 0.01, weight_decay = 0.1 })
    check("AdamW", { learning_rate = 0.01, beta2 = 0.99, weight_decay = 0.1 },
      adam { lr = 0.01, weight_decay = 0.1, decoupled = true })
    assert.equal(0.01, optimizer("AdamW", { parameter { 1 } }).weight_decay)
  end)
end)

describe("an optimizer", function()
  it("leaves parameters without a gradient alone", function()
    local a, b = parameter { 1 }, parameter { 5 }
    local o = optimizer("SGD", { a, b }, { learning_rate = 1, momentum = 0.5, weight_decay = 1 })
    set_gradient(a, { 0 })
    o:step()
    assert.same({ 0 }, a:to_table())
    assert.same({ 5 }, b:to_table())
  end)

  it("forgets gradients with zero_grad", function()
    local a = parameter { 1 }
    local o = optimizer("SGD", { a })
    set_gradient(a, { 1 })
    o:zero_grad()
    assert.is_nil(a.grad)
  end)

  it("steps through tensors of all sizes in one pass, float32 near float64", function()
    convlua.manual_seed(2)
    for _, kind in ipairs { "SGD", "Adam" } do
      local both, made = {}, {}
      for k, dtype in ipairs { "float32", "float64" } do
        convlua.manual_seed(2)
        local list = {}
        for i, n in ipairs { 1, 40000, 0, 3, 70001, 5 } do
          list[i] = convlua.randn({ n }):cast(dtype)
          list[i].requires_grad = true
          ;(list[i] * list[i] * list[i]):sum():backward()
        end
        made[k] = optimizer(kind, list, { learning_rate = 0.01, clip_norm = 3 })
        made[k]:step()
        made[k]:step()
        both[k] = list
      end
      assert.close(made[1]:gradient_norm(), made[2]:gradient_norm(), 1e-5)
      for i = 1, #both[1] do
        assert.close(both[1][i]:detach():cast "float64", both[2][i]:detach(), 1e-5)
      end
    end
  end)

  it("gives the same bits for any number of threads", function()
    local before, bytes = core.threads(), {}
    for i, n in ipairs { 1, 2, 4 } do
      core.threads(n)
      convlua.manual_seed(4)
      local w = convlua.randn { 150001 }
      w.requires_grad = true
      ;(w * w):sum():backward()
      local o = optimizer("Adam", { w }, { clip_norm = 0.1 })
      o:step()
      bytes[i] = w:to_bytes() .. o:gradient_norm()
    end
    core.threads(before)
    assert.equal(bytes[1], bytes[2])
    assert.equal(bytes[1], bytes[3])
  end)

  it("scales gradients down to clip_norm, all together", function()
    local a, b = parameter { 3 }, parameter { 4, 0 }
    local o = optimizer("SGD", { a, b }, { learning_rate = 1, clip_norm = 1 })
    set_gradient(a, { 3 })
    set_gradient(b, { 4, 0 })
    assert.close(5, o:gradient_norm())
    o:step()
    assert.close({ 3 - 3 / 5 }, a)
    assert.close({ 4 - 4 / 5, 0 }, b)
    o.clip_norm = 100
    o:step()
    assert.close({ 3 - 3 / 5 - 3 }, a)
  end)

  it("cuts each element to clip_value", function()
    local a = parameter { 0, 0, 0 }
    local o = optimizer("SGD", { a }, { learning_rate = 1, clip_value = 2 })
    set_gradient(a, { 5, -7, 1 })
    o:step()
    assert.close({ -2, 2, -1 }, a)
  end)

  it("finds the first gradient that is not finite and has changed nothing", function()
    local list = {}
    for i = 1, 4 do
      list[i] = parameter(i == 3 and { 1, 2 } or { 1 }, i == 3 and "float32" or "float64")
      set_gradient(list[i], i == 3 and { 1, 0 / 0 } or { 1 })
    end
    local o = optimizer("SGD", list)
    assert.equal(3, o:first_non_finite())
    set_gradient(list[2], { math.huge })
    assert.equal(2, o:first_non_finite())
    set_gradient(list[2], { 1e200 }) -- its square is not finite, it is
    set_gradient(list[3], { 1, 1 })
    assert.is_nil(o:first_non_finite())
    assert.same({ 1 }, list[1]:to_table())
  end)

  it("has groups with rates and weight decay of their own", function()
    local a, b, c = parameter { 1 }, parameter { 1 }, parameter { 1 }
    local o = core.optimizer { kind = "SGD", parameters = { a }, learning_rate = 0.1,
      weight_decay = 1, groups = { { parameters = { b }, learning_rate = 0.2 },
        { parameters = { c }, weight_decay = 0 } } }
    local function step()
      for _, w in ipairs { a, b, c } do set_gradient(w, { 1 }) end
      o:step()
      return { a:to_table()[1], b:to_table()[1], c:to_table()[1] }
    end
    assert.close({ 1 - 0.1 * 2, 1 - 0.2 * 2, 1 - 0.1 }, step())
    o.learning_rate = 0.01 -- a schedule moves all groups
    assert.close({ 0.8 - 0.01 * 1.8, 0.6 - 0.02 * 1.6, 0.9 - 0.01 }, step())
  end)

  it("goes on from a saved state as if nothing had happened", function()
    for _, kind in ipairs { "SGD", "Adam" } do
      local options = { learning_rate = 0.1, decay = 0.1 }
      if kind == "SGD" then options.momentum = 0.9 else options.amsgrad = true end
      local a, b = parameter { 1, 2 }, parameter { 1, 2 }
      local first, second = optimizer(kind, { a }, options), optimizer(kind, { b }, options)
      local function step(o, w, t)
        set_gradient(w, gradients[t])
        o:step()
      end
      step(first, a, 1)
      step(first, a, 2)
      convlua.no_grad(function() b:copy_(a) end)
      second:load_state(first:state())
      assert.equal(2, second.step_count)
      step(first, a, 3)
      step(second, b, 3)
      assert.same(a:to_table(), b:to_table())
    end
  end)

  it("names its state and refuses another's", function()
    local o = optimizer("Adam", { parameter { 1 }, parameter { 1, 2 } }, { amsgrad = true })
    local names = {}
    for name in pairs(o:state()) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "moment1.1", "moment1.2", "moment2.1", "moment2.2", "moment2_max.1",
      "moment2_max.2", "step" }, names)
    local state = o:state()
    state["moment2.2"] = nil
    assert.raises_like(function() o:load_state(state) end, "no tensor 'moment2.2', got nil")
    state["moment2.2"] = convlua.zeros { 2 }
    assert.raises_like(function() o:load_state(state) end,
      "state 'moment2.2' must be float64 {2}, got float32 {2}")
    state["moment2.2"] = convlua.zeros({ 2 }):cast "float64"
    state.extra = convlua.zeros { 1 }
    assert.raises_like(function() o:load_state(state) end, "8 entries, 7 are expected")
  end)

  it("refuses what it cannot do", function()
    local w = parameter { 1 }
    local function refuses(text, o)
      assert.raises_like(function() core.optimizer(o) end, text)
    end
    refuses("kind must be one of Adam, AdamW, SGD, got Sgd", { kind = "Sgd", parameters = { w } })
    refuses("SGD: parameters must be a list of tensors, got nil", { kind = "SGD" })
    refuses("SGD: there are no parameters", { kind = "SGD", parameters = {} })
    refuses("parameters 1 and 2 are the same tensor", { kind = "SGD", parameters = { w, w } })
    refuses("unknown option 'rate'", { kind = "SGD", parameters = { w }, rate = 1 })
    refuses("nesterov needs a momentum", { kind = "SGD", parameters = { w }, nesterov = true })
    refuses("learning_rate must be 0 or more",
      { kind = "SGD", parameters = { w }, learning_rate = -1 })
    refuses("parameter 1 is a result, not a leaf", { kind = "SGD", parameters = { w * 2 } })
    refuses("parameter 1 must be float32 or float64, got int64",
      { kind = "SGD", parameters = { convlua.tensor { 1 }:cast "int64" } })
    refuses("unknown key 'rate' in group 1",
      { kind = "SGD", groups = { { parameters = { w }, rate = 1 } } })
    local o = optimizer("SGD", { w })
    assert.raises_like(function() o.momentum = 0.9 end, "make a new optimizer")
    assert.equal(0, o.momentum)
    assert.raises_like(function() o.learning_rate = "fast" end, "number expected, got 'fast'")
  end)

  it("prints its options, steps and parameters", function()
    local o = optimizer("SGD", { parameter { 1, 2, 3 } }, { learning_rate = 0.5, momentum = 0.9 })
    assert.equal("SGD{learning_rate = 0.5, momentum = 0.9}  step 0, 3 parameters in 1 tensors",
      tostring(o))
  end)
end)
