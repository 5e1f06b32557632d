--- The training loop: train.Loop{...}:fit(model, {...}).
--
-- Events of a fit, in order. A callback is a function of (loop, event), or a table that can be
-- called so, and hears all of them:
--
--   fit_start
--     epoch_start
--       training_start
--         batch_start  (step: forward, backward)  backward_end  update_start  (update)  batch_end
--       training_end
--       validation_start
--         batch_start  (forward)  inference_prediction_end  (loss)  batch_end
--       validation_end
--     epoch_end
--   fit_end
--
-- and, when they happen, checkpoint_saved, nan_detected, interrupted.
--
-- What a callback may return, from an event inside the part that is cancelled:
--   cancel.batch       on with the next batch; batch_end still comes, its numbers are dropped
--   cancel.training    to training_end, then validation
--   cancel.validation  to validation_end
--   cancel.epoch       straight to epoch_end
--   cancel.fit         straight to fit_end
-- Every callback hears an event even when one before it cancels; the widest cancel wins.
--
-- What callbacks may read and change: training, validation, optimizer, loss, metrics, callbacks,
-- model; last_input, last_target, last_output, last_loss (until the next batch; convlua.keep or
-- clone() for longer); batch_index, batch_count, epoch_index, epoch_count, step_count (updates so
-- far), phase ("training" or "validation"), last_stats (metrics of this epoch: loss, accuracy, ...;
-- val_loss, val_accuracy, ...), history (last_stats of each epoch), device, resumed.

local core = require "convlua.core"
local signal = require "convlua.core.signal"
local metrics = require "convlua.metrics"
local source = require "convlua.train.source"
local state = require "convlua.train.state"
local finite = require "convlua.train.finite"
local capture = require "convlua.train.capture"
local scaler = require "convlua.train.scaler"

local no_grad = core.autograd.no_grad

-- Cancels ------------------------------------------------------------------------------------------

local Cancel = {
  __tostring = function(self) return "cancel." .. self.name end,
  __name = "train.cancel",
}

--- `reach` tells which of two cancels wins; `within` where one makes sense.
local function new_cancel(name, reach, within)
  return setmetatable({ name = name, reach = reach, within = within }, Cancel)
end

local cancel = {
  batch = new_cancel("batch", 1, function(loop) return loop.in_batch end),
  training = new_cancel("training", 2, function(loop) return loop.phase == "training" end),
  validation = new_cancel("validation", 2, function(loop) return loop.phase == "validation" end),
  epoch = new_cancel("epoch", 3, function(loop) return loop.in_epoch end),
  fit = new_cancel("fit", 4, function() return true end),
}

--- What a signal makes of the loop; no callback can ask for it.
local interrupted = new_cancel("interrupted", 5)

-- Construction -------------------------------------------------------------------------------------

local Loop = {}
Loop.__index = Loop

local options = {
  training = true, validation = true, optimizer = true, loss = true, metrics = true, callbacks = true,
  non_finite = true, precision = true, loss_scale = true,
  capture = true,
}

local function unknown(who, o, known)
  for key in pairs(o) do
    if not known[key] then
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      error(("%s: unknown option '%s'; there are %s"):format(who, tostring(key), table.concat(names, ", ")), 3)
    end
  end
end

local precisions = { float32 = true, bf16 = true, ["bf16-full"] = true, f16 = true }

--- Loop{training, validation, optimizer, loss, metrics, callbacks, non_finite, precision, loss_scale,
-- capture} -> loop
--   training, validation  loaders: :start(epoch, batch), :next() -> x, y, :batches(); or a list of
--              {x, y}. validation may be left out.
--   optimizer  :step(), :zero_grad(); may be left out when the step updates by itself
--   loss       function (output, target) -> tensor with one element
--   metrics    names ("loss", "accuracy", "top5_accuracy"), functions (output, target, loop) ->
--              number, or objects (metrics.lua); {"loss"} when not given
--   callbacks  called in this order
--   non_finite what to do about a loss or gradient that is infinite or not a number: "stop" (an
--              error), "skip" (the batch does not count), "ignore"
--   precision  what convolutions and matrix products multiply: "float32"; "bf16", operands rounded to
--              bfloat16 in the backward passes alone, which leaves the loss as it is and moves
--              gradients by a few per cent; "bf16-full", in all passes. Weights, activations,
--              gradients and sums are float32 all the same. "f16": float16 in all passes on CUDA
--              devices, for those without bfloat16, and a scaled loss (train/scaler.lua): a batch
--              whose gradients are too large for the scale counts, but updates nothing. Not given:
--              as autograd.precision has it
--   loss_scale of "f16": {initial = 65536, growth = 2, backoff = 0.5, interval = 2000}; it halves when
--              gradients are infinite and doubles after 2000 steps without
--   capture    true: on a CUDA device the differentiable step is recorded once and is one launch from
--              then on, with the same bits; elsewhere an error. See train/capture.lua
local function new_loop(o)
  if type(o) ~= "table" then error(("train.Loop: a table of options expected, got %s"):format(type(o)), 3) end
  unknown("train.Loop", o, options)
  if o.training == nil then error("train.Loop: option 'training' is missing", 3) end
  local way = o.non_finite or "stop"
  if way ~= "stop" and way ~= "skip" and way ~= "ignore" then
    error(("train.Loop: non_finite must be 'stop', 'skip' or 'ignore', got '%s'"):format(tostring(way)), 3)
  end
  if o.precision ~= nil and not precisions[o.precision] then
    error(("train.Loop: precision must be 'float32', 'bf16', 'bf16-full' or 'f16', got '%s'"):format(
      tostring(o.precision)), 3)
  end
  if o.loss_scale ~= nil and (o.precision ~= "f16" or type(o.loss_scale) ~= "table") then
    error("train.Loop: loss_scale is a table of options of precision 'f16'", 3)
  end
  if o.capture and o.optimizer == nil then
    error("train.Loop: capture: an optimizer is missing; a step that updates by itself cannot be recorded", 3)
  end
  return setmetatable({
    training = o.training,
    validation = o.validation,
    optimizer = o.optimizer,
    loss = o.loss,
    metrics = o.metrics or { "loss" },
    callbacks = o.callbacks or {},
    non_finite = way,
    precision = o.precision,
    scaler = o.precision == "f16" and scaler.new(o.loss_scale or {}) or nil,
    capture = o.capture or false,
    history = {},
    kept = {},
  }, Loop)
end

-- Events -------------------------------------------------------------------------------------------

local function name_of(callback, i)
  if type(callback) == "table" and callback.name then return ("'%s'"):format(callback.name) end
  if type(callback) ~= "function" then return ("#%d"):format(i) end
  local info = debug.getinfo(callback, "S")
  return ("#%d (%s:%d)"):format(i, info.short_src, info.linedefined)
end

local function check_answer(loop, answer, callback, i, event)
  if getmetatable(answer) ~= Cancel then
    error(("callback %s returned a %s at %s: nothing or one of train.cancel expected"):format(
      name_of(callback, i), type(answer), event), 0)
  end
  if not answer.within(loop) then
    error(("callback %s returned %s at %s, which is outside of what it cancels"):format(
      name_of(callback, i), tostring(answer), event), 0)
  end
end

local function call(loop, callback, i, event)
  local ok, answer = pcall(callback, loop, event)
  if not ok then
    if type(answer) ~= "string" then error(answer, 0) end
    error(("callback %s at %s: %s"):format(name_of(callback, i), event, answer), 0)
  end
  if answer ~= nil then check_answer(loop, answer, callback, i, event) end
  return answer
end

--- Tells every callback; returns the widest cancel, or nil. callbacks with a field `runs_last`, which
-- save what the others do, come after the others.
function Loop:emit(event)
  local widest
  for turn = 1, 2 do
    for i, callback in ipairs(self.callbacks) do
      local last = type(callback) == "table" and callback.runs_last == true
      if last == (turn == 2) then
        local answer = call(self, callback, i, event)
        if answer and (not widest or answer.reach > widest.reach) then widest = answer end
      end
    end
  end
  return widest
end

-- One batch ----------------------------------------------------------------------------------------

--- The differentiable step. A replacement gets the loop, sets last_output and last_loss, leaves
-- gradients in the parameters, and may return a cancel.
local function default_step(loop)
  loop.last_output = loop.model(loop.last_input)
  loop.last_loss = loop.loss(loop.last_output, loop.last_target)
  loop:backward(loop.last_loss)
end

local last_names = { "last_input", "last_target", "last_output", "last_loss" }

--- Makes last_* survive the batch's scope, without the graph that made them: handles of the loop's
-- own, which release_last frees.
local function keep_last(loop)
  for i, name in ipairs(last_names) do
    if core.is_tensor(loop[name]) then
      loop[name] = core.keep(loop[name]:detach())
      loop.kept[i] = loop[name]
    end
  end
end

local function release_last(loop)
  for i, name in ipairs(last_names) do
    loop[name] = nil
    if loop.kept[i] then loop.kept[i]:free() end
    loop.kept[i] = nil
  end
  loop.last_loss_value = nil
end

--- The loss as a number, read from the device once.
local function read_loss(loop)
  local loss = loop.last_loss
  loop.last_loss_value = core.is_tensor(loss) and loss:item() or loss
end

--- loss:backward(), scaled where the precision wants it. For a step of one's own.
function Loop:backward(loss)
  if self.scaler then self.scaler:backward(loss) else loss:backward() end
end

--- Forward, backward and update. Returns a cancel or nil.
local function train_batch(loop)
  local optimizer = loop.optimizer
  if optimizer then optimizer:zero_grad() end
  local buffers = loop.non_finite == "skip" and finite.remember(loop.model)
  local stop
  if loop.captured then stop = loop.captured:run(loop) else stop = loop.step(loop) end
  if stop then check_answer(loop, stop, loop.step, 0, "step") end
  if loop.scaler and not stop then loop.scaler:unscale(loop) end
  local answer = loop:emit "backward_end"
  if answer and (not stop or answer.reach > stop.reach) then stop = answer end
  if stop then return stop end
  read_loss(loop)
  if loop.scaler and loop.scaler:overflows(loop) then return end
  if loop.non_finite ~= "ignore" then
    loop.problem = finite.problem(loop, loop.scaler ~= nil)
    if loop.problem then
      answer = loop:emit "nan_detected"
      if loop.non_finite == "stop" then error(loop.problem, 0) end
      finite.restore(buffers)
      return answer or cancel.batch
    end
  end
  stop = loop:emit "update_start"
  if stop then return stop end
  if optimizer then optimizer:step() end
  loop.step_count = loop.step_count + 1
end

local function validate_batch(loop)
  loop.last_output = loop.model(loop.last_input)
  local stop = loop:emit "inference_prediction_end"
  if stop then return stop end
  if loop.loss then
    loop.last_loss = loop.loss(loop.last_output, loop.last_target)
    read_loss(loop)
  end
end

--- Adds the batch to the metrics; returns what takes it out again.
local function count_batch(loop)
  local before = loop.meter:state()
  local stats = {}
  for name, value in pairs(loop.last_stats) do stats[name] = value end
  loop.meter:update(loop)
  loop.meter:write(loop.last_stats, loop.phase == "validation" and "val_" or "")
  return function()
    loop.meter:load_state(before)
    loop.last_stats = stats
  end
end

local function move(value, device)
  return device and core.is_tensor(value) and value:to(device) or value
end

--- One batch from its events' point of view. Returns whether there was one, and a cancel wider than
-- the batch.
local function run_batch(loop, batches, work)
  local input, target = batches:next()
  if input == nil then return false end
  loop.last_input, loop.last_target = move(input, loop.device), move(target, loop.device)
  loop.in_batch = true
  local stop = loop:emit "batch_start" or work(loop)
  if stop and stop ~= cancel.batch then return true, stop end
  local undo = not stop and count_batch(loop)
  stop = loop:emit "batch_end"
  if stop == cancel.batch then
    if undo then undo() end
    stop = nil
  end
  return true, stop
end

--- The batch in a scope of its own: what it made is freed at its end, but for last_*.
local function scoped_batch(loop, batches, work)
  local any, stop = run_batch(loop, batches, work)
  loop.in_batch = false
  keep_last(loop)
  return any, stop
end

--- All batches of a phase from `first` on. Returns a cancel or nil.
local function run_batches(loop, batches, first, work)
  batches:start(loop.epoch_index, first)
  for i = first, loop.batch_count do
    loop.batch_index = i
    release_last(loop)
    local any, stop = core.scope(scoped_batch, loop, batches, work)
    if signal.interrupted() then return interrupted end
    if stop then return stop end
    if not any then break end
  end
end

-- Phases, epochs, fit ------------------------------------------------------------------------------

local function set_mode(model, mode)
  local has, method = pcall(function() return model[mode] end) -- a model may be a function
  if has and method then method(model) end
end

local function begin_phase(loop, phase, batches)
  loop.phase = phase
  loop.batch_index, loop.batch_count = 0, batches:batches()
  set_mode(loop.model, phase == "training" and "train" or "eval")
end

--- Returns a cancel wider than the phase.
local function train(loop)
  local batches = source.of(loop.training, "train.Loop: training")
  begin_phase(loop, "training", batches)
  loop.meter = metrics.meter(loop.metrics)
  local stop = loop:emit "training_start"
  if not stop then
    local first = state.enter_epoch(loop)
    stop = run_batches(loop, batches, first, train_batch)
  end
  if stop and stop ~= cancel.training then return stop end
  loop.training_meter = loop.meter
  return loop:emit "training_end"
end

local function validate(loop)
  local batches = source.of(loop.validation, "train.Loop: validation")
  begin_phase(loop, "validation", batches)
  loop.meter = metrics.meter(loop.metrics)
  local stop = loop:emit "validation_start"
  if not stop then stop = no_grad(run_batches, loop, batches, 1, validate_batch) end
  if stop and stop ~= cancel.validation then return stop end
  return loop:emit "validation_end"
end

--- A cancel of a part at its own end changes nothing.
local function unless(stop, own)
  if stop ~= own then return stop end
end

local function run_epoch(loop)
  loop.in_epoch, loop.phase = true, "epoch_start"
  loop.last_stats = {}
  local stop = loop:emit "epoch_start"
  stop = stop or unless(train(loop), cancel.training)
  if not stop and loop.validation then stop = unless(validate(loop), cancel.validation) end
  if stop and stop ~= cancel.epoch then return stop end
  loop.phase = "epoch_end"
  loop.history[loop.epoch_index] = loop.last_stats
  stop = unless(loop:emit "epoch_end", cancel.epoch)
  loop.in_epoch = false
  return stop
end

local function run_epochs(loop, first)
  local stop = loop:emit "fit_start"
  if loop.resumed then first = state.enter_fit(loop) end
  for epoch = first, loop.epoch_count do
    if stop then break end
    if signal.interrupted() then stop = interrupted break end
    loop.epoch_index = epoch
    stop = run_epoch(loop)
  end
  loop.in_batch, loop.in_epoch = false, false
  if stop == interrupted then loop:emit "interrupted" end
  loop.phase = nil
  loop:emit "fit_end"
  release_last(loop)
  if stop == interrupted then return "interrupted", signal.interrupted() end
  return stop == cancel.fit and "cancelled" or "finished"
end

local fit_options = { epochs = true, device = true, step = true, resume = true }

--- fit(model, {epochs, device, step, resume}) -> "finished", "cancelled" (by cancel.fit) or
-- "interrupted", signal number
--   epochs  how many there are in all, those before a resumed one included
--   device  where the model and every batch are moved; left where they are when not given
--   step    replaces the differentiable step (forward and backward); see default_step
--   resume  a file written by train.checkpoint{state = true}: goes on where that was written, so
--           that the end is the same to the last bit as without the interruption; or a list of
--           files, of which the first that can be read counts
--
-- At Ctrl-C or SIGTERM the batch under way is finished, `interrupted` is emitted, then fit_end. The
-- model, the optimizer and the loaders are those the file was written with.
function Loop:fit(model, o)
  if model == nil then error("fit: a model expected, got nil", 2) end
  o = o or {}
  unknown("fit", o, fit_options)
  if math.type(o.epochs) ~= "integer" or o.epochs < 0 then
    error(("fit: option 'epochs' must be a whole number, got %s"):format(tostring(o.epochs)), 2)
  end
  if not self.loss and not o.step then error("fit: the loop has no loss, and no step was given", 2) end
  self.model, self.device, self.step = model, o.device, o.step or default_step
  self.epoch_count, self.epoch_index, self.step_count = o.epochs, 0, 0
  self.batch_index, self.batch_count, self.last_stats, self.history = 0, 0, {}, {}
  self.in_batch, self.in_epoch, self.problem, self.phase = false, false, nil, nil
  self.meter, self.training_meter, self.training_batches = nil, nil, nil
  self.resumed = o.resume and state.read(o.resume) or nil
  if o.device and type(model) == "table" and model.to then model:to(o.device) end
  local was = signal.guard(true)
  self.captured = self.capture and capture.new() or nil
  local _ <close> = setmetatable({}, { __close = function()
    signal.guard(was)
    if self.scaler then self.scaler:close() end
    if self.captured then self.captured:close() end
    self.captured = nil
  end })
  return core.autograd.precision(self.precision or core.autograd.precision(), run_epochs, self, 1)
end

--- With capture: what was recorded is recorded afresh. To be called when something has changed that the
-- loop does not see; see train/capture.lua.
function Loop:recapture()
  if self.captured then self.captured:close() end
end

--- Writes everything that a resumed run needs to `path`; train.checkpoint calls it.
function Loop:save_state(path, wait)
  return state.save(self, path, wait)
end

return { new = new_loop, cancel = cancel }
