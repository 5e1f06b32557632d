--- convlua summary MODULE [NAME] [--input HxWxC]: layers, shapes and parameters of a model.
--
--   convlua summary models.resnet ResNet18 --input 224x224x3
-- MODULE is what `require` knows. NAME is one of its constructors; it may be left out where there is
-- one alone, or where MODULE gives a model or a constructor itself. Without --input, 32x32x3.

local function wrong(message, ...)
  error({ usage = message:format(...) }, 0)
end

local function is_callable(value)
  return type(value) == "function" or getmetatable(value) ~= nil
end

local function constructors(module)
  local names = {}
  for name, value in pairs(module) do
    if type(name) == "string" and is_callable(value) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function shape_of(text)
  local shape = {}
  for part in (text .. "x"):gmatch "([^x]*)x" do
    local n = math.tointeger(tonumber(part))
    if not n or n < 1 then wrong("--input expects sizes such as 224x224x3, got '%s'", text) end
    shape[#shape + 1] = n
  end
  return shape
end

local function parse(...)
  local o, arguments, i = { input = { 32, 32, 3 } }, { ... }, 1
  while arguments[i] do
    local word = arguments[i]
    local value = word:match "^%-%-input=(.*)$"
    if word == "--input" then
      i = i + 1
      value = arguments[i] or wrong "--input expects sizes such as 224x224x3"
    end
    if value then
      o.input = shape_of(value)
    elseif word:sub(1, 1) == "-" then
      wrong("summary: unknown option '%s'", word)
    elseif not o.module then
      o.module = word
    elseif not o.name then
      o.name = word
    else
      wrong("summary: '%s' is one argument too many", word)
    end
    i = i + 1
  end
  if not o.module then wrong "summary: which module? For example: convlua summary models.resnet" end
  return o
end

--- The constructor that the arguments mean.
local function choose(o)
  local module = require(o.module)
  if type(module) ~= "table" or getmetatable(module) ~= nil then
    if o.name then wrong("summary: %s has no names to choose from", o.module) end
    return module
  end
  local names = constructors(module)
  local name = o.name or (#names == 1 and names[1])
  if not name or not module[name] then
    wrong("summary: %s has %s; which one?", o.module, table.concat(names, ", "))
  end
  return module[name]
end

return function(...)
  local o = parse(...)
  local model = choose(o)
  if not (type(model) == "table" and model.summary and model.training ~= nil) then
    model = model { class_count = 10 }
  end
  print(model:summary(o.input))
  return 0
end
