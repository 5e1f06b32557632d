-- The training loop: its events, what callbacks may do to it, and what it does to model and memory.

local convlua = require "convlua"
local toy = require "spec.support.toy"

local train = convlua.train

-- A loop over 2 training and 2 validation batches whose events are noted in `log`.
local function noted(extra)
  local model = toy.model(0)
  local log = {}
  local callbacks = extra and extra.callbacks or {}
  table.insert(callbacks, 1, function(_, event) log[#log + 1] = event end)
  local loop = train.Loop{
    training = toy.batches(2), validation = extra and extra.validation or toy.batches(2),
    optimizer = toy.optimizer(model), loss = toy.loss, callbacks = callbacks,
    metrics = extra and extra.metrics, non_finite = extra and extra.non_finite,
  }
  return loop, model, log
end

-- A callback that returns `answer` the n-th time it hears `event` while `when(loop)`.
local function once(event, answer, when)
  local done = false
  return function(loop, heard)
    if done or heard ~= event or (when and not when(loop)) then return end
    done = true
    return answer
  end
end

local training_batch = { "batch_start", "backward_end", "update_start", "batch_end" }
local validation_batch = { "batch_start", "inference_prediction_end", "batch_end" }

local function join(...)
  local all = {}
  for _, list in ipairs { ... } do
    if type(list) == "string" then list = { list } end
    table.move(list, 1, #list, #all + 1, all)
  end
  return all
end

local training = join("training_start", training_batch, training_batch, "training_end")
local validation = join("validation_start", validation_batch, validation_batch, "validation_end")
local epoch = join("epoch_start", training, validation, "epoch_end")

describe("train.Loop", function()
  it("emits the events of two epochs of two batches in this order and no other", function()
    local loop, model, log = noted()
    assert.equal("finished", loop:fit(model, { epochs = 2 }))
    assert.same(join("fit_start", epoch, epoch, "fit_end"), log)
  end)

  it("leaves validation out when there is none", function()
    local model = toy.model(0)
    local log = {}
    train.Loop{ training = toy.batches(1), optimizer = toy.optimizer(model), loss = toy.loss,
      callbacks = { function(_, event) log[#log + 1] = event end } }:fit(model, { epochs = 1 })
    assert.same(join("fit_start", "epoch_start", "training_start", training_batch, "training_end",
      "epoch_end", "fit_end"), log)
  end)

  it("does nothing between fit_start and fit_end in 0 epochs", function()
    local loop, model, log = noted()
    loop:fit(model, { epochs = 0 })
    assert.same({ "fit_start", "fit_end" }, log)
  end)

  it("takes the step of gradient descent", function()
    local loop, model = noted()
    loop:fit(model, { epochs = 1 })
    -- x = 1/2, t = 1: w = 0 + 0.1 * 2 * 1 * 1/2; then x = 1, t = 2
    local w = 0.1 * 2 * 1 * 0.5
    w = w + 0.1 * 2 * (2 - w)
    assert.close(w, model:value(), 1e-6)
    assert.equal(2, loop.step_count)
  end)

  it("learns", function()
    local loop, model = noted()
    loop:fit(model, { epochs = 40 })
    assert.close(2, model:value(), 1e-3)
  end)

  it("shows where it is", function()
    local seen = {}
    local loop, model = noted { callbacks = { function(loop, event)
      if event == "batch_end" then
        seen[#seen + 1] = ("%s %d/%d %d/%d"):format(loop.phase, loop.epoch_index, loop.epoch_count,
          loop.batch_index, loop.batch_count)
      end
    end } }
    loop:fit(model, { epochs = 2 })
    assert.same({ "training 1/2 1/2", "training 1/2 2/2", "validation 1/2 1/2", "validation 1/2 2/2",
      "training 2/2 1/2", "training 2/2 2/2", "validation 2/2 1/2", "validation 2/2 2/2" }, seen)
  end)

  it("sets the learning phase, and records no graph in validation", function()
    local modes, graphs = {}, {}
    local loop, model = noted { callbacks = { function(loop, event)
      if event == "batch_end" then modes[#modes + 1] = loop.model.mode end
      if event == "inference_prediction_end" then graphs[#graphs + 1] = loop.last_output.requires_grad end
    end } }
    loop:fit(model, { epochs = 1 })
    assert.same({ "train", "train", "eval", "eval" }, modes)
    assert.same({ false, false }, graphs)
  end)

  it("averages the metrics of each phase over its samples", function()
    local model = toy.model(1)
    local stats
    local loop = train.Loop{
      training = { { convlua.tensor { 1, 1, 1 }, convlua.tensor { 1, 1, 1 } },
        { convlua.tensor { 1 }, convlua.tensor { 2 } } },
      validation = { { convlua.tensor { 1 }, convlua.tensor { 3 } } },
      loss = toy.loss, metrics = { "loss", doubled = function(y) return y:sum() * 2 end },
      callbacks = { function(loop, event) if event == "epoch_end" then stats = loop.last_stats end end },
    }
    loop:fit(model, { epochs = 1 })
    assert.close((0 * 3 + 1 * 1) / 4, stats.loss)
    assert.close((6 * 3 + 2 * 1) / 4, stats.doubled)
    assert.close(4, stats.val_loss)
    assert.close(2, stats.val_doubled)
    assert.same({ stats }, loop.history)
  end)

  it("lets the last tensors live until the next batch", function()
    local at_end
    local loop, model = noted { callbacks = { function(loop, event)
      if event == "training_end" then
        at_end = { loop.last_input:item(), loop.last_target:item(), loop.last_output:item(),
          loop.last_loss:item() }
      end
    end } }
    loop:fit(model, { epochs = 1 })
    local w = 0.1
    assert.close({ 1, 2, w, (w - 2) ^ 2 }, at_end, 1e-6)
  end)

  it("leaves the tensors of a plain list alone, after an error too", function()
    local batches = toy.batches(2)
    local model = toy.model(0)
    local loop = train.Loop{ training = batches, loss = toy.loss, callbacks = { function(_, event)
      if event == "backward_end" then error "broken" end
    end } }
    for _ = 1, 2 do
      assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, "broken")
    end
    assert.close({ 0.5 }, batches[1][1])
  end)

  it("does not grow", function()
    local live = {}
    local loop, model = noted { callbacks = { function(_, event)
      if event == "epoch_end" then live[#live + 1] = convlua.memory.live() end
    end } }
    loop:fit(model, { epochs = 5 })
    assert.equal(live[2], live[5])
  end)

  it("takes a step in place of its own, without an optimizer too", function()
    local steps = 0
    local model = toy.model(3)
    local loop = train.Loop{ training = toy.batches(3) }
    loop:fit(model, { epochs = 2, step = function(l)
      steps = steps + 1
      l.last_output, l.last_loss = l.last_input, l.last_input:sum()
    end })
    assert.equal(6, steps)
    assert.equal(3, model:value())
    assert.close((1 / 3 + 2 / 3 + 1) / 3, loop.history[1].loss)
  end)

  it("uses what a callback has put in place of its parts", function()
    local loop, model = noted { callbacks = { function(l, event)
      if event == "epoch_start" and l.epoch_index == 2 then l.training = toy.batches(3) end
    end } }
    loop:fit(model, { epochs = 2 })
    assert.equal(5, loop.step_count)
  end)
end)

describe("a callback that cancels", function()
  local in_training = function(loop) return loop.phase == "training" end

  local function events(event, answer, when)
    local loop, model, log = noted { callbacks = { once(event, answer, when) } }
    local outcome = loop:fit(model, { epochs = 2 })
    return log, outcome, loop
  end

  it("a batch: batch_end still comes and its numbers are dropped", function()
    local log, outcome, loop = events("batch_start", train.cancel.batch)
    assert.same(join("fit_start", "epoch_start", "training_start", "batch_start", "batch_end", training_batch,
      "training_end", validation, "epoch_end", epoch, "fit_end"), log)
    assert.equal("finished", outcome)
    assert.equal(3, loop.step_count)
    assert.close(4, loop.history[1].loss, 1e-6) -- of the second batch alone: (0 - 2)^2
  end)

  it("a batch before its update: no update", function()
    local log, _, loop = events("update_start", train.cancel.batch)
    assert.same({ "fit_start", "epoch_start", "training_start", "batch_start", "backward_end", "update_start",
      "batch_end", "batch_start" }, table.move(log, 1, 8, 1, {}))
    assert.equal(3, loop.step_count)
  end)

  it("a batch at its end: its numbers are taken out again", function()
    local _, _, loop = events("batch_end", train.cancel.batch)
    assert.close((0.1 - 2) ^ 2, loop.history[1].loss, 1e-6)
  end)

  it("the training of an epoch: training_end, then validation", function()
    local log = events("backward_end", train.cancel.training)
    assert.same(join("fit_start", "epoch_start", "training_start", "batch_start", "backward_end", "training_end",
      validation, "epoch_end", epoch, "fit_end"), log)
  end)

  it("the validation", function()
    local log = events("inference_prediction_end", train.cancel.validation)
    assert.same(join("fit_start", "epoch_start", training, "validation_start", "batch_start",
      "inference_prediction_end", "validation_end", "epoch_end", epoch, "fit_end"), log)
  end)

  it("the epoch: straight to epoch_end", function()
    local log = events("batch_end", train.cancel.epoch, in_training)
    assert.same(join("fit_start", "epoch_start", "training_start", training_batch, "epoch_end", epoch, "fit_end"), log)
  end)

  it("the fit: straight to fit_end", function()
    for _, event in ipairs { "fit_start", "epoch_start", "training_start", "batch_start", "backward_end",
      "update_start", "batch_end", "training_end", "validation_start", "inference_prediction_end",
      "validation_end", "epoch_end" } do
      local log, outcome = events(event, train.cancel.fit)
      assert.equal("cancelled", outcome)
      assert.same({ event, "fit_end" }, { log[#log - 1], log[#log] })
    end
  end)

  it("does not keep the others from hearing, and the widest wins", function()
    local heard = {}
    local loop, model, log = noted { callbacks = {
      once("batch_start", train.cancel.epoch), once("batch_start", train.cancel.batch),
      function(_, event) heard[#heard + 1] = event end } }
    loop:fit(model, { epochs = 1 })
    assert.same({ "fit_start", "epoch_start", "training_start", "batch_start", "epoch_end", "fit_end" }, log)
    assert.same(log, heard)
  end)

  it("from outside of what it cancels is told so", function()
    local loop, model = noted { callbacks = { once("epoch_start", train.cancel.batch) } }
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end,
      "returned cancel.batch at epoch_start, which is outside of what it cancels")
  end)
end)

describe("a callback that fails", function()
  it("is named", function()
    local named = setmetatable({ name = "brittle" }, { __call = function() error "broken" end })
    local loop, model = noted { callbacks = { named } }
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, "callback 'brittle' at fit_start: ")
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, "broken")
  end)

  it("is told by its place when it has no name", function()
    local loop, model = noted { callbacks = { function() error "broken" end } }
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, "callback #2 (spec/train_loop_spec.lua:")
  end)

  it("may raise a table, which comes through as it is", function()
    local problem = {}
    local loop, model = noted { callbacks = { function() error(problem) end } }
    local _, raised = pcall(loop.fit, loop, model, { epochs = 1 })
    assert.equal(problem, raised)
  end)

  it("by returning something else is told what it may return", function()
    local loop, model = noted { callbacks = { function() return 7 end } }
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end,
      "returned a number at fit_start: nothing or one of train.cancel expected")
  end)
end)

describe("a loss that is not finite", function()
  local function poisoned(way)
    local loop, model, log = noted { non_finite = way, validation = {} }
    loop.training = toy.batches(3)
    loop.training[2][1] = convlua.tensor { 0 / 0 }
    return loop, model, log
  end

  it("stops the run before the update", function()
    local loop, model, log = poisoned()
    assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, "epoch 1, batch 2: the loss is")
    assert.equal("nan_detected", log[#log])
    assert.equal(1, loop.step_count)
    assert.is_true(model:value() == model:value())
  end)

  it("costs its batch only when told to skip", function()
    local loop, model, log = poisoned "skip"
    loop:fit(model, { epochs = 1 })
    assert.equal(2, loop.step_count)
    assert.is_true(loop.history[1].loss == loop.history[1].loss)
    assert.same(join("batch_start", "backward_end", "nan_detected", "batch_end"), table.move(log, 8, 11, 1, {}))
  end)

  it("goes unnoticed when told to ignore", function()
    local loop, model = poisoned "ignore"
    loop:fit(model, { epochs = 1 })
    assert.is_true(model:value() ~= model:value())
  end)
end)

describe("options", function()
  it("that are unknown or wrong are errors", function()
    local loop, model = noted()
    local other = noted { metrics = { "acuracy" } }
    local seven = noted()
    seven.training = 7
    local captured = train.Loop { training = { { convlua.ones { 1 }, convlua.ones { 1 } } }, capture = true,
      optimizer = { zero_grad = function() end }, loss = error }
    local function fit(l, o) return function() l:fit(model, o) end end
    for _, case in ipairs {
      { function() train.Loop{ trainning = {} } end, "train.Loop: unknown option 'trainning'; there are" },
      { function() train.Loop{} end, "option 'training' is missing" },
      { function() train.Loop{ training = {}, non_finite = "no" } end,
        "non_finite must be 'stop', 'skip' or 'ignore', got 'no'" },
      { function() train.Loop{ training = {}, capture = true } end, "capture: an optimizer is missing" },
      { fit(captured, { epochs = 1 }), "train.Loop: capture: device 'cpu' cannot record a step; CUDA devices can" },
      { function() loop:fit(nil, { epochs = 1 }) end, "fit: a model expected" },
      { fit(loop, { epoch = 1 }), "fit: unknown option 'epoch'; there are device, epochs" },
      { fit(loop, nil), "fit: option 'epochs' must be a whole number, got nil" },
      { fit(seven, { epochs = 1 }), "training: a loader (start, next, batches) or a list of" },
      { fit(other, { epochs = 1 }), "unknown metric 'acuracy'; there are accuracy, loss" },
    } do
      assert.raises_like(case[1], case[2])
    end
  end)
end)
