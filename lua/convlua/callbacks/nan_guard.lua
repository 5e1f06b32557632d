--- nan_guard{ limit = 5, file = io.stderr }: with Loop{ non_finite = "skip" } batches whose loss or gradient is not
-- finite are left out; this callback tells each, and ends the fit with an error when
-- `limit` of them come in a row, because then it is not the batch.

local handler = require "convlua.callbacks.handler"

local on = {}

function on.nan_detected(self, loop)
  self.in_a_row, self.total = self.in_a_row + 1, self.total + 1
  self.file:write(loop.problem, "\n")
  if self.in_a_row >= self.limit then
    error(("%d batches in a row were not finite; the last one: %s"):format(self.in_a_row, loop.problem), 0)
  end
end

function on.update_start(self) self.in_a_row = 0 end

return function(o)
  o = handler.options("nan_guard", o, { limit = 5, file = io.stderr })
  o.in_a_row, o.total = 0, 0
  return handler.new("nan_guard", on, o)
end
