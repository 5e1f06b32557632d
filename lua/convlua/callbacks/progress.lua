--- progress{ file = io.stdout, interval = 0.1 }: how training goes.
--
--   epoch 3/25  390/390 [==========] 8 s · 6200 img/s · loss 0.4819 · accuracy 0.8513 · val_loss ...
--
-- On a terminal one line is redrawn, at most every `interval` seconds; in a pipe there is one line
-- per epoch. Seconds are those of the epoch; images per second those of training alone.

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"

local WIDTH = 10 -- of the bar

local function bar(done, count)
  local filled = count > 0 and done * WIDTH // count or WIDTH
  if filled >= WIDTH then return ("="):rep(WIDTH) end
  return ("="):rep(filled) .. ">" .. (" "):rep(WIDTH - 1 - filled)
end

local function line(self, loop)
  local now = core.system.clock()
  local parts = { ("%.0f s"):format(now - self.epoch_start) }
  if self.seconds > 0 and self.images > 0 then
    parts[2] = ("%.0f img/s"):format(self.images / self.seconds)
  end
  for _, name in ipairs(handler.names(loop.last_stats)) do
    parts[#parts + 1] = ("%s %.4f"):format(name, loop.last_stats[name])
  end
  return ("epoch %d/%d  %d/%d [%s] %s"):format(loop.epoch_index, loop.epoch_count, self.done,
    self.count, bar(self.done, self.count), table.concat(parts, " · "))
end

--- Draws over the line that is there; cut where the terminal ends, so that it stays one line.
local function redraw(self, text)
  local columns = core.system.columns(1) or 80
  if utf8.len(text) >= columns then text = text:sub(1, utf8.offset(text, columns) - 1) end
  self.file:write("\r", text, "\27[K")
  self.file:flush()
end

local on = {}

function on.epoch_start(self)
  self.epoch_start, self.images, self.seconds, self.done, self.count = core.system.clock(), 0, 0, 0, 0
end

function on.training_start(self, loop)
  self.batch_start, self.count = core.system.clock(), loop.batch_count
end

function on.batch_end(self, loop)
  local now = core.system.clock()
  if loop.phase == "training" then
    self.images = self.images + loop.last_input:size(1)
    self.seconds = self.seconds + now - self.batch_start
    self.batch_start, self.done = now, loop.batch_index
  end
  if self.live and now - self.drawn >= self.interval then
    self.drawn = now
    redraw(self, line(self, loop))
  end
end

function on.training_end(self, loop) self.done = loop.batch_index end

function on.validation_start(self)
  if self.live then self.drawn = 0 end
end

function on.epoch_end(self, loop)
  if self.live then redraw(self, line(self, loop)) else self.file:write(line(self, loop)) end
  self.file:write "\n"
  self.file:flush()
  self.shown = true
end

function on.interrupted(self)
  if self.live then self.file:write "\n" end
  self.file:write "interrupted\n"
  self.file:flush()
end

return function(o)
  o = handler.options("progress", o, { file = io.stdout, interval = 0.1, live = handler.none })
  if o.live == nil then o.live = o.file == io.stdout and core.system.is_terminal(1) end
  o.drawn, o.images, o.seconds, o.done, o.count, o.epoch_start = 0, 0, 0, 0, 0, core.system.clock()
  return handler.new("progress", on, o)
end
