--- A callback that answers some events, by name:
--   handler("noise", { epoch_end = function(self, loop) ... end }, { runs_last = true, ... })
-- The third table is the callback itself; handlers get it as `self`.

local Handler = {}
Handler.__index = Handler

function Handler:__call(loop, event)
  local answer = self.on[event]
  if answer then return answer(self, loop) end
end

function Handler:__tostring() return "callback " .. self.name end

local handler = {}

function handler.new(name, on, self)
  self = self or {}
  self.name, self.on = name, on
  return setmetatable(self, Handler)
end

--- Options of a callback: a copy of `o` with defaults. A default of handler.none stands for nil.
handler.none = {}

function handler.options(who, o, defaults)
  if o ~= nil and type(o) ~= "table" then
    error(("%s: a table of options expected, got %s"):format(who, type(o)), 3)
  end
  local all = {}
  for key, value in pairs(o or {}) do
    if defaults[key] == nil then
      local names = {}
      for name in pairs(defaults) do names[#names + 1] = name end
      table.sort(names)
      local text = "%s: unknown option '%s'; there are %s"
      error(text:format(who, tostring(key), table.concat(names, ", ")), 3)
    end
    all[key] = value
  end
  for key, value in pairs(defaults) do
    if all[key] == nil and value ~= handler.none then all[key] = value end
  end
  return all
end

--- Whether smaller is better for a metric of this name.
function handler.smaller_is_better(metric)
  return metric:find "loss" ~= nil or metric:find "perplexity" ~= nil
end

--- The value of a metric in last_stats; an error names those there are.
function handler.stat(loop, metric)
  local value = loop.last_stats[metric]
  if value ~= nil then return value end
  local names = {}
  for name in pairs(loop.last_stats) do names[#names + 1] = name end
  table.sort(names)
  local text = "there is no metric '%s' at the end of epoch %d; there are %s"
  error(text:format(metric, loop.epoch_index, #names > 0 and table.concat(names, ", ") or "none"), 0)
end

--- Names of the metrics in `stats`: those of training in the loop's order, then val_ ones.
function handler.names(stats)
  local names = {}
  for name in pairs(stats) do names[#names + 1] = name end
  local function rank(name)
    local base, validation = name, 0
    if name:sub(1, 4) == "val_" then base, validation = name:sub(5), 2 end
    return validation + (base == "loss" and 0 or 1)
  end
  table.sort(names, function(a, b)
    local of_a, of_b = rank(a), rank(b)
    if of_a ~= of_b then return of_a < of_b end
    return a < b
  end)
  return names
end

return handler
