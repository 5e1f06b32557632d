--- csv_logger(path): one row per epoch: epoch, step, learning_rate, then the metrics of the first
-- epoch by name. A resumed run appends.

local handler = require "convlua.callbacks.handler"
local LogFile = require "convlua.callbacks.log_file"

local function text(value)
  if value == nil then return "" end
  return math.type(value) == "integer" and ("%d"):format(value) or ("%.9g"):format(value)
end

local on = {}

function on.fit_start(self, loop)
  self.log, self.resumed = LogFile.open(self.path, loop.resumed ~= nil), loop.resumed ~= nil
end

function on.epoch_end(self, loop)
  if not self.names then
    self.names = handler.names(loop.last_stats)
    if not self.resumed then
      self.log:write(table.concat({ "epoch", "step", "learning_rate", table.unpack(self.names) }, ","))
    end
  end
  local rate = loop.optimizer and loop.optimizer.learning_rate
  local row = { text(loop.epoch_index), text(loop.step_count),
    text(type(rate) == "number" and rate or nil) }
  for _, name in ipairs(self.names) do row[#row + 1] = text(loop.last_stats[name]) end
  self.log:write(table.concat(row, ","))
end

function on.fit_end(self)
  if self.log then self.log:close() end
  self.log = nil
end

local function state(self) return { names = self.names } end

local function load_state(self, data)
  if data and data.names then self.names = table.move(data.names, 1, #data.names, 1, {}) end
end

return function(path)
  if type(path) ~= "string" then error("csv_logger: a path expected, got " .. type(path), 2) end
  return handler.new("csv_logger", on, { path = path, state = state, load_state = load_state })
end
