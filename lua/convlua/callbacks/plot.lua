--- plot(path, ... or {path, ..., title =, every = 1}): curves of all metrics, training and
-- validation, as .svg or .png, drawn anew after every `every` epochs and at the end of the fit.

local handler = require "convlua.callbacks.handler"
local plot = require "convlua.plot"

local function draw(self, loop)
  if #loop.history == 0 then return end
  local figure = plot.of_history(loop.history, self.title)
  if #figure.panels == 0 then return end
  for _, path in ipairs(self.paths) do
    local ok, problem = pcall(plot.write, path, figure)
    if not ok and not self.warned then
      self.warned = true
      io.stderr:write(("plot: %s; training goes on without it\n"):format(problem))
    end
  end
end

local on = {}

function on.epoch_end(self, loop)
  if loop.epoch_index % self.every == 0 then draw(self, loop) end
end

function on.fit_end(self, loop) draw(self, loop) end

return function(first, ...)
  local o = type(first) == "table" and first or { first, ... }
  local paths = {}
  for i, path in ipairs(o) do
    if type(path) ~= "string" or not path:find "%.svg$" and not path:find "%.png$" then
      error(("plot: paths that end in .svg or .png expected, got %s"):format(tostring(path)), 2)
    end
    paths[i] = path
  end
  if #paths == 0 then error("plot: a path expected", 2) end
  local every = o.every or 1
  return handler.new("plot", on, { paths = paths, title = o.title, every = every })
end
