--- convlua summary MODULE [NAME] [--input HxWxC] [option=value ...]
-- Builds a model and shows its layers, shapes, parameters and multiply-adds. Without NAME it is the
-- smallest of those with a number in their names, else the first; without --input, 32x32x3.
--   convlua summary models.resnet ResNet50 --input 224x224x3 class_count=1000

local usage = "usage: convlua summary MODULE [NAME] [--input HxWxC] [option=value ...]"

local function wrong(message, ...)
  error({ usage = message:format(...) .. "\n" .. usage }, 0)
end

--- "32x32x3" -> { 32, 32, 3 }, one image without the batch
local function shape(text)
  local sizes = {}
  for part in (text .. "x"):gmatch "([^x]*)x" do
    local size = math.tointeger(tonumber(part))
    if not size or size < 1 then wrong("--input must be sizes joined by x, got '%s'", text) end
    sizes[#sizes + 1] = size
  end
  return sizes
end

local function value_of(text)
  if text == "true" or text == "false" then return text == "true" end
  return math.tointeger(tonumber(text)) or tonumber(text) or text
end

local function parse(arguments)
  local o = { input = { 32, 32, 3 }, options = { class_count = 10 } }
  local i = 1
  while arguments[i] do
    local word = arguments[i]
    local key, value = word:match "^([%a_][%w_]*)=(.*)$"
    if word == "--input" then
      i = i + 1
      o.input = shape(arguments[i] or wrong "--input needs a value")
    elseif word:find "^%-%-input=" then
      o.input = shape(word:sub(#"--input=" + 1))
    elseif key then
      o.options[key] = value_of(value)
    elseif word:sub(1, 1) == "-" then
      wrong("unknown option '%s'", word)
    elseif not o.module then
      o.module = word
    elseif not o.name then
      o.name = word
    else
      wrong("one argument too many: '%s'", word)
    end
    i = i + 1
  end
  if not o.module then wrong "which module?" end
  return o
end

local function callable(value)
  local metatable = getmetatable(value)
  return type(value) == "function" or type(metatable) == "table" and metatable.__call ~= nil
end

--- The models of a module: names that begin with a capital and can be called, ResNet18 before
-- ResNet101.
local function constructors(module)
  local list = {}
  for name, value in pairs(module) do
    local fits = type(name) == "string" and name:find "^%u" and callable(value)
    if fits then list[#list + 1] = name end
  end
  local function key(name)
    return (name:gsub("%d+", function(digits) return ("%09d"):format(digits) end))
  end
  table.sort(list, function(a, b) return key(a) < key(b) end)
  return list
end

local function is_model(value)
  return type(value) == "table" and getmetatable(value) ~= nil and callable(value.summary)
end

--- The model that the arguments mean, and the names of others in its module.
local function build(o)
  local module = require(o.module)
  if is_model(module) then return module, {} end
  local make, names = module, {}
  if not callable(module) then
    names = type(module) == "table" and constructors(module) or {}
    local default = names[1]
    for i = #names, 1, -1 do
      if names[i]:find "%d" then default = names[i] end -- ResNet18 rather than the general ResNet
    end
    o.name = o.name or default
    make = o.name and module[o.name]
    if not callable(make) then
      wrong("%s has no model '%s'; it has: %s", o.module, o.name or "", table.concat(names, ", "))
    end
  end
  return make(o.options), names
end

return function(...)
  local o = parse { ... }
  local model, names = build(o)
  print(model:summary(o.input))
  if #names > 1 then
    local others = table.concat(names, ", ")
    print(("\nThis was %s of %s; there are %s."):format(o.name, o.module, others))
  end
end
