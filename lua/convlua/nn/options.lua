--- Options of modules written in Lua: defaults, what must be given, no unknown names.
--
--   local o = nn.options(given, { class_count = nn.required, stem = "imagenet" }, "ResNet18")
-- `given` may be nil. A default of nn.optional stands for nil.

local required = setmetatable({}, { __tostring = function() return "nn.required" end })
local optional = setmetatable({}, { __tostring = function() return "nn.optional" end })

local function names(defaults)
  local list = {}
  for name in pairs(defaults) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, ", ")
end

local function options(given, defaults, who)
  if given ~= nil and type(given) ~= "table" then
    error(("%s: a table of options expected, got %s"):format(who, type(given)), 3)
  end
  local o = {}
  for name, value in pairs(given or {}) do
    if defaults[name] == nil then
      local text = "%s: unknown option '%s'; there are %s"
      error(text:format(who, tostring(name), names(defaults)), 3)
    end
    o[name] = value
  end
  for name, value in pairs(defaults) do
    if o[name] == nil and value == required then
      error(("%s: option '%s' is missing"):format(who, name), 3)
    elseif o[name] == nil and value ~= optional then
      o[name] = value
    end
  end
  return o
end

--- One of `choices` (a list), else an error that names them.
local function choice(value, choices, name, who)
  for _, known in ipairs(choices) do
    if value == known then return value end
  end
  local text = "%s: %s must be one of %s, got %s"
  local got = type(value) == "string" and "'" .. value .. "'" or tostring(value)
  error(text:format(who, name, table.concat(choices, ", "), got), 3)
end

return { read = options, required = required, optional = optional, choice = choice }
