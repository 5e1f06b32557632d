-- train.Loop{ precision = "f16" }: the loss is scaled, the gradients are not; infinite ones shrink the scale.

local convlua = require "convlua"

local nn, optim, train = convlua.nn, convlua.optim, convlua.train

local function batches(n)
  local list = {}
  for i = 1, n do list[i] = { convlua.randn { 4, 3 }, convlua.randn { 4, 2 } } end
  return list
end

-- A loop and its model; `o`: more options of the loop.
local function new_run(n, o)
  convlua.manual_seed(3)
  local model = nn.Sequential { nn.Dense { input_size = 3, output_size = 5 }, nn.BatchNorm { feature_count = 5 },
    nn.Dense { input_size = 5, output_size = 2 } }
  local settings = { training = batches(n), optimizer = optim.SGD(model, { learning_rate = 0.1, momentum = 0.9 }),
    loss = function(y, t) return (y - t):square():mean() end }
  for name, value in pairs(o) do settings[name] = value end
  return train.Loop(settings), model
end

local function bytes(model)
  local text = {}
  for name, w in model:named_parameters() do text[#text + 1] = name .. w:to_bytes() end
  table.sort(text)
  return table.concat(text)
end

local function inject(at) -- an infinite gradient in these batches
  return function(loop, event)
    if event == "batch_start" then loop.poisoned = at[loop.batch_index] end
  end
end

-- The default step, whose gradients are infinite in poisoned batches as when the scale is too large.
local function step(loop)
  loop.last_output = loop.model(loop.last_input)
  loop.last_loss = loop.loss(loop.last_output, loop.last_target)
  loop:backward(loop.last_loss)
  if loop.poisoned then loop.model:parameters()[1].grad:fill_(math.huge) end
end

describe("precision 'f16'", function()
  it("gives the bits of float32 on the CPU: scales are powers of two", function()
    local plain, a = new_run(6, {})
    plain:fit(a, { epochs = 2 })
    local scaled, b = new_run(6, { precision = "f16" })
    scaled:fit(b, { epochs = 2 })
    assert.equal(bytes(a), bytes(b))
    assert.equal(plain.history[2].loss, scaled.history[2].loss)
    assert.equal(65536, scaled.scaler.scale)
    assert.equal(12, scaled.scaler.good_steps)
  end)

  it("scales the loss that a step goes back from, and shows callbacks true gradients", function()
    local seen, norms = nil, {}
    for i, o in ipairs { {}, { precision = "f16", loss_scale = { initial = 1024 } } } do
      o.callbacks = { function(loop, event)
        if event == "backward_end" then norms[i] = loop.optimizer:gradient_norm() end
      end }
      local loop, model = new_run(1, o)
      loop:fit(model, { epochs = 1, step = function(l)
        l.last_output = l.model(l.last_input)
        l.last_loss = l.loss(l.last_output, l.last_target)
        l.last_loss:register_hook(function(g) seen = g:item() end)
        l:backward(l.last_loss)
      end })
    end
    assert.equal(1024, seen)
    assert.equal(norms[1], norms[2])
  end)

  it("skips the update of infinite gradients and shrinks; grows after enough steps without", function()
    local scales = {}
    local loop, model = new_run(8, { precision = "f16", loss_scale = { initial = 64, interval = 3 },
      callbacks = { inject { [2] = true, [3] = true }, function(l, event)
        if event == "batch_end" then scales[#scales + 1] = l.scaler.scale end
      end } })
    loop:fit(model, { epochs = 1, step = step })
    assert.same({ 64, 32, 16, 16, 16, 32, 32, 32 }, scales)
    assert.equal(6, loop.step_count)
    for _, w in model:named_parameters() do assert.is_true(w:sum():item() == w:sum():item()) end
  end)

  it("leaves a loss that is not finite to the guard, and gives up where no scale helps", function()
    local loop, model = new_run(2, { precision = "f16", loss = function(y) return y:sum() / 0 end })
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, "the loss is ")
    loop, model = new_run(40, { precision = "f16", callbacks = { function(l) l.poisoned = true end } })
    assert.raises_like(function() loop:fit(model, { epochs = 1, step = step }) end,
      "the gradients are not finite with a loss scale of 3.05176e-05 either")
  end)

  it("goes on from a file with the scale that it had", function()
    local path = os.tmpname()
    local function run(extra)
      return new_run(8, { precision = "f16", loss_scale = { initial = 64, interval = 3 },
        callbacks = { inject { [2] = true }, extra } })
    end
    local whole, a = run()
    whole:fit(a, { epochs = 2, step = step })
    local stopped, b = run(function(loop, event)
      if event == "batch_end" and loop.epoch_index == 1 and loop.batch_index == 4 then
        loop:save_state(path, true)
        return train.cancel.fit
      end
    end)
    stopped:fit(b, { epochs = 2, step = step })
    local resumed, c = run()
    resumed:fit(c, { epochs = 2, step = step, resume = path })
    os.remove(path)
    assert.equal(bytes(a), bytes(c))
    assert.same(whole.scaler:state(), resumed.scaler:state())
  end)

  it("holds nothing afterwards", function()
    local loop, model = new_run(2, { precision = "f16" })
    loop:fit(model, { epochs = 1 })
    collectgarbage()
    local before = convlua.memory.live()
    for _ = 1, 3 do loop:fit(model, { epochs = 1 }) end
    collectgarbage()
    assert.equal(before, convlua.memory.live())
  end)

  it("wants a step that scales, and options that it knows", function()
    local loop, model = new_run(1, { precision = "f16" })
    assert.raises_like(function()
      loop:fit(model, { epochs = 1, step = function(l)
        l.last_loss = l.loss(l.model(l.last_input), l.last_target)
        l.last_loss:backward()
      end })
    end, "with precision 'f16' the step calls loop:backward(loss)")
    assert.raises_like(function() new_run(1, { loss_scale = {} }) end, "loss_scale is a table of options of precision 'f16'")
    assert.raises_like(function() new_run(1, { precision = "f16", loss_scale = { start = 1 } }) end,
      "loss_scale: unknown option 'start'")
    assert.raises_like(function() new_run(1, { precision = "f16", loss_scale = { growth = 0 } }) end,
      "loss_scale: growth must be a positive number, got 0")
  end)
end)
