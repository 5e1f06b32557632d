--- lr_schedule(schedule): sets optimizer.learning_rate before every update from a function of (step,
-- steps), where `step` counts from 0 over the whole fit; see convlua.schedule. The rate is a
-- function of the step alone, so a resumed run needs nothing else. `loop.step_total` tells how many
-- steps there will be in all.

local handler = require "convlua.callbacks.handler"

local on = {}

function on.training_start(_, loop)
  loop.step_total = loop.epoch_count * loop.batch_count
end

function on.update_start(self, loop)
  -- where batches were skipped, steps lag behind: the schedule follows the batches
  local step = (loop.epoch_index - 1) * loop.batch_count + loop.batch_index - 1
  local rate = self.schedule(step, loop.step_total)
  if type(rate) ~= "number" or rate ~= rate then
    error(("the schedule gave %s for step %d of %d: a number expected"):format(tostring(rate), step,
      loop.step_total), 0)
  end
  loop.optimizer.learning_rate = rate
end

return function(schedule)
  if type(schedule) ~= "function" then
    error(("lr_schedule: function (step, steps) expected, got %s"):format(type(schedule)), 2)
  end
  return handler.new("lr_schedule", on, { schedule = schedule })
end
