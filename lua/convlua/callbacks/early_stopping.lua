--- early_stopping{ metric = "val_loss", patience = 5, min_delta = 0 }: ends the fit when the metric
-- has not got better, by more than min_delta, for `patience` epochs. Losses get better by falling,
-- everything else by rising. self.best and self.best_epoch tell the best.

local handler = require "convlua.callbacks.handler"
local cancel = require "convlua.train.loop".cancel

local on = {}

function on.fit_start(self)
  self.best, self.best_epoch, self.waited = nil, nil, 0
end

function on.epoch_end(self, loop)
  local value = handler.stat(loop, self.metric)
  local sign = handler.smaller_is_better(self.metric) and -1 or 1
  if self.best == nil or sign * (value - self.best) > self.min_delta then
    self.best, self.best_epoch, self.waited = value, loop.epoch_index, 0
    return
  end
  self.waited = self.waited + 1
  if self.waited >= self.patience then return cancel.fit end
end

local function state(self)
  return { best = self.best, best_epoch = self.best_epoch, waited = self.waited }
end

local function load_state(self, data)
  self.best, self.best_epoch, self.waited = data.best, data.best_epoch, data.waited
end

return function(o)
  o = handler.options("early_stopping", o, { metric = "val_loss", patience = 5, min_delta = 0 })
  if math.type(o.patience) ~= "integer" or o.patience < 1 then
    error(("early_stopping: patience must be a positive integer, got %s"):format(tostring(o.patience)), 2)
  end
  o.state, o.load_state = state, load_state
  return handler.new("early_stopping", on, o)
end
