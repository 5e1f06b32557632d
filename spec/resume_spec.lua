-- A run that was stopped and goes on from its file ends as one that was never stopped: same bits.

local convlua = require "convlua"
local core = require "convlua.core"
local toy = require "spec.support.toy"

local train = convlua.train

local path

before_each(function() path = os.tmpname() end)
after_each(function() os.remove(path) end)

-- A noisy loop: random numbers in every step, a shuffled loader, a momentum, a schedule, a callback
-- with a state, an average of the weights.
local function new_run(extra)
  convlua.manual_seed(7)
  local model = toy.model(0.5)
  local set = {}
  for i = 1, 12 do set[i] = { convlua.tensor { i / 12 }, convlua.tensor { i / 6 } } end
  local samples = { size = function() return #set end,
    get = function(_, i) return set[i][1], (set[i][2]:item()) end }
  local counter = setmetatable({ name = "counter", n = 0 }, { __call = function(self, _, event)
    if event == "batch_end" then self.n = self.n + 1 end
  end })
  function counter:state() return { n = self.n } end
  function counter:load_state(data) self.n = data.n end
  local callbacks = { counter, train.lr_schedule(convlua.schedule.one_cycle { peak = 0.1 }),
    train.ema { decay = 0.9 }, extra }
  local loop = train.Loop{
    training = convlua.data.Loader { dataset = samples, batch_size = 3, shuffle = true, seed = 3 },
    validation = toy.batches(2), optimizer = toy.optimizer(model, { momentum = 0.9 }),
    loss = function(y, t) return (y - t:unsqueeze(-1) + convlua.randn(1) * 0.1):square():mean() end,
    metrics = { "loss" }, callbacks = callbacks,
  }
  return loop, model, counter
end

-- Everything that may differ, as a string of bytes.
local function bytes(loop, model, counter)
  local text = { model.w:to_bytes(), loop.optimizer.velocity:to_bytes(), tostring(counter.n),
    table.concat(core.rng_state(), " "), tostring(loop.step_count) }
  for _, stats in ipairs(loop.history) do
    text[#text + 1] = ("%a %a"):format(stats.loss, stats.val_loss)
  end
  return table.concat(text, "|")
end

local function uninterrupted()
  local loop, model, counter = new_run()
  loop:fit(model, { epochs = 3 })
  return bytes(loop, model, counter)
end

-- Stops at `event` when `when(loop)`, writing the state there, as a kill right after would leave it.
local function stop_at(event, when)
  return setmetatable({ name = "stopper", runs_last = true }, { __call = function(_, loop, heard)
    if heard == event and when(loop) then
      loop:save_state(path, true)
      return train.cancel.fit
    end
  end })
end

local function resumed()
  local loop, model, counter = new_run()
  convlua.manual_seed(99) -- must not matter
  loop:fit(model, { epochs = 3, resume = path })
  return bytes(loop, model, counter)
end

describe("a resumed run", function()
  local function check(event, when)
    local whole = uninterrupted()
    local loop, model = new_run(stop_at(event, when))
    assert.equal("cancelled", (loop:fit(model, { epochs = 3 })))
    assert.equal(whole, resumed())
  end

  it("equals the uninterrupted one from the end of an epoch", function()
    check("epoch_end", function(loop) return loop.epoch_index == 2 end)
  end)

  it("equals it from the middle of an epoch", function()
    check("batch_end", function(loop)
      return loop.phase == "training" and loop.epoch_index == 2 and loop.batch_index == 3
    end)
  end)

  it("equals it from the last batch of an epoch", function()
    check("batch_end", function(loop)
      return loop.phase == "training" and loop.epoch_index == 1 and loop.batch_index == 4
    end)
  end)

  it("equals it from the very first batch", function()
    check("batch_end", function(loop) return loop.phase == "training" and loop.step_count == 1 end)
  end)

  it("may start after the end, and then does nothing", function()
    local loop, model, counter = new_run(stop_at("epoch_end", function(l) return l.epoch_index == 3 end))
    loop:fit(model, { epochs = 3 })
    assert.equal(12, loop.step_count)
    local again, same = new_run()
    again:fit(same, { epochs = 3, resume = path })
    assert.equal(12, again.step_count)
    assert.equal(model:value(), same:value())
    assert.equal(18, counter.n)
  end)

  it("refuses a file without a state, of another model, or for another loader", function()
    core.io.save_npz(path, { w = convlua.zeros(1) })
    local loop, model = new_run()
    assert.raises_like(function() loop:fit(model, { epochs = 1, resume = path }) end,
      "has the weights of a model, but not the state of a training run")
    loop, model = new_run(stop_at("batch_end", function(l) return l.batch_index == 2 end))
    loop:fit(model, { epochs = 3 })
    loop, model = new_run()
    loop.training = toy.batches(5)
    assert.raises_like(function() loop:fit(model, { epochs = 3, resume = path }) end,
      "stands in an epoch of 4 batches, but this loader has 5")
  end)

  it("is not bound to its file being the newest: the bytes of a state are a function of the state", function()
    local function state_of()
      local loop, model = new_run(stop_at("batch_end", function(l) return l.batch_index == 2 end))
      loop:fit(model, { epochs = 3 })
      return core.io.read_file(path)
    end
    assert.equal(state_of(), state_of())
  end)
end)
