--- jsonl_logger(path, { steps }): one flat JSON object a line, flushed, for programs to read.
--   {"accuracy":0.4486,"epoch":1,"event":"epoch","learning_rate":0.1,"loss":1.53,"seconds":8.1,
--    "step":390,"val_accuracy":0.51,"val_loss":1.39}
-- One line per epoch; with `steps`, also one with the batch's loss every so many updates. A resumed
-- run appends.

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"
local json = require "convlua.json"
local LogFile = require "convlua.callbacks.log_file"

local function common(self, loop, event)
  local rate = loop.optimizer and loop.optimizer.learning_rate
  return { event = event, epoch = loop.epoch_index, step = loop.step_count,
    seconds = math.floor((core.system.clock() - self.started) * 1000) / 1000,
    learning_rate = type(rate) == "number" and rate or nil }
end

local function write(self, object)
  if self.log then self.log:write(json.encode(object, { non_finite = "null" })) end
end

local on = {}

function on.fit_start(self, loop)
  self.started = core.system.clock()
  self.log = LogFile.open(self.path, loop.resumed ~= nil)
end

function on.batch_end(self, loop)
  if not self.steps or loop.phase ~= "training" or loop.step_count % self.steps ~= 0 then return end
  local object = common(self, loop, "step")
  object.loss = loop.last_loss_value
  write(self, object)
end

function on.epoch_end(self, loop)
  local object = common(self, loop, "epoch")
  for name, value in pairs(loop.last_stats) do object[name] = value end
  write(self, object)
end

function on.nan_detected(self, loop)
  local object = common(self, loop, "nan_detected")
  object.problem = loop.problem
  write(self, object)
end

function on.interrupted(self, loop) write(self, common(self, loop, "interrupted")) end

function on.fit_end(self)
  if self.log then self.log:close() end
  self.log = nil
end

return function(path, o)
  if type(path) ~= "string" then error("jsonl_logger: a path expected, got " .. type(path), 2) end
  o = handler.options("jsonl_logger", o, { steps = handler.none })
  o.path, o.started = path, 0
  return handler.new("jsonl_logger", on, o)
end
