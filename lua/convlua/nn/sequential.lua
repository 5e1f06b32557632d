--- Modules made of modules: one after the other, around each other, from a function.

local joined = require "convlua.core".joined
local options = require "convlua.nn.options"
local Module = require "convlua.nn.module".Module

local containers = {}

local function check_callable(value, who, where)
  local metatable = debug.getmetatable(value)
  if type(value) == "function" or (metatable and rawget(metatable, "__call")) then return value end
  error(("%s: a layer, module or function expected %s, got %s"):format(who, where, type(value)), 4)
end

--- y = last(... second(first(x)))
--
--   nn.Sequential{ nn.Flatten{}, nn.Dense{...}, nn.relu }          parts "1", "2", ...
--   nn.Sequential{ { conv = nn.Conv2D{...} }, { act = nn.relu } }  parts "conv", "act"
-- A part is anything that can be called with a tensor; model[i] or model.conv is the part. Further
-- arguments of the call go to the first part. A layer and the one behind it are computed in one pass
-- where core.joined knows how.
local Sequential = Module("Sequential", function(self, parts)
  if type(parts) ~= "table" then
    error("Sequential: a table of layers expected, got " .. type(parts), 3)
  end
  local names = {}
  for i, part in ipairs(parts) do
    local name = i
    if type(part) == "table" and getmetatable(part) == nil then
      name, part = next(part)
      if type(name) ~= "string" or next(parts[i], name) ~= nil then
        error(("Sequential: { name = layer } expected at position %d"):format(i), 3)
      end
    end
    check_callable(part, "Sequential", "at position " .. i)
    if self[name] ~= nil then
      error(("Sequential: the name '%s' is taken"):format(name), 3)
    end
    self[name], names[i] = part, name
  end
  for key in pairs(parts) do
    if math.type(key) ~= "integer" or key < 1 or key > #names then
      local text = "Sequential: entries have an order: write { %s = layer } in a list of such"
      error(text:format(tostring(key)), 3)
    end
  end
  self._names = names
end)

function Sequential:forward(x, ...)
  local names, extra, i = self._names, select("#", ...), 1
  while names[i] do
    local part, after = self[names[i]], names[i + 1] and self[names[i + 1]]
    local both = (i > 1 or extra == 0) and joined(part, after)
    if both then
      x = both(part, after, x)
      i = i + 2
    else
      if i == 1 then x = part(x, ...) else x = part(x) end
      i = i + 1
    end
  end
  return x
end

function Sequential:__len() return #self._names end

containers.Sequential = Sequential

--- A function as a module: nn.Function(function(x) return x * 2 end).
containers.Function = Module("Function", function(self, f)
  self._f = check_callable(f, "Function", "as argument")
end)

function containers.Function:forward(...) return self._f(...) end

--- y = activation(block(x) + projection(x)). He et al. 2016, arXiv:1512.03385, eq. 1 and 2.
--   nn.Residual{ block = module, projection = module or nil (the identity), activation = nn.relu }
containers.Residual = Module("Residual", function(self, given)
  local o = options.read(given, {
    block = options.required, projection = options.optional, activation = options.optional,
  }, "Residual")
  self.block = check_callable(o.block, "Residual", "as block")
  if o.projection then
    self.projection = check_callable(o.projection, "Residual", "as projection")
  end
  if o.activation then
    self.activation = check_callable(o.activation, "Residual", "as activation")
  end
end)

function containers.Residual:forward(x)
  local y = self.block(x) + (self.projection and self.projection(x) or x)
  return self.activation and self.activation(y) or y
end

return containers
