--- Training: convlua.train.
--
--   Loop{...}:fit(model, {...})   the loop; its events and state are described in train/loop.lua
--   cancel                        what a callback may return: batch, training, validation, epoch, fit
--   progress, checkpoint, ...     callbacks; train.NAME is convlua.callbacks.NAME
--   evaluate(model, loader, o)    metrics of a model over a loader, in inference mode

local core = require "convlua.core"
local loop = require "convlua.train.loop"
local metrics = require "convlua.metrics"
local source = require "convlua.train.source"

local train = { Loop = loop.new, cancel = loop.cancel }

--- evaluate(model, loader, {loss, metrics, device}) -> {name = value}. The model is left in
-- inference mode.
function train.evaluate(model, loader, o)
  o = o or {}
  local batches = source.of(loader, "train.evaluate")
  local meter = metrics.meter(o.metrics or { "accuracy" })
  local here = { model = model }
  local function batch(input, target)
    here.last_input = o.device and input:to(o.device) or input
    here.last_target = o.device and target:to(o.device) or target
    here.last_output = model(here.last_input)
    local loss = o.loss and o.loss(here.last_output, here.last_target)
    here.last_loss_value = loss and loss:item()
    meter:update(here)
  end
  local function next_batch()
    local input, target = batches:next()
    if input == nil then return false end
    batch(input, target)
    return true
  end
  if type(model) ~= "function" then model:eval() end
  batches:start(1, 1)
  core.autograd.no_grad(function()
    while core.scope(next_batch) do end -- what a batch made is freed at its end
  end)
  local stats = {}
  meter:write(stats, "")
  return stats
end

local callbacks = {
  progress = true, checkpoint = true, csv_logger = true, jsonl_logger = true, lr_schedule = true,
  early_stopping = true, plot = true, nan_guard = true, ema = true, batch_norm_statistics = true,
  progressive_resizing = true, freezing = true,
}

return setmetatable(train, { __index = function(self, name)
  if not callbacks[name] then return nil end
  local callback = require("convlua.callbacks." .. name)
  rawset(self, name, callback)
  return callback
end })
