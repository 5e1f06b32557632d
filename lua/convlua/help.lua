--- help(): what is known about a value, at the prompt.
--
--   help()               how to begin
--   help(convlua.conv2d) an op: its signature, options and defaults
--   help "conv2d"        the same by name; also "nn.Dense", "train.Loop"
--   help(nn.Dense), help(model), help(tensor), help(some_function)
-- Ops and layers bring their texts in their descriptors, other C functions have them in bound.lua.
-- Those of Lua functions and modules are the comments above them in the sources, which the binary
-- carries.

local env = require "convlua.core.env"

local intro = [[
convlua: tensors, layers and training loops for Lua.

  x = convlua.randn{2, 3}              a tensor; x.shape, x:sum(), x + 1
  nn = convlua.nn                      layers: nn.Dense, nn.Conv2D, nn.Sequential, ...
  help(nn.Conv2D), help "conv2d"       what a thing is and which options it takes
  help(convlua), help(x)               what is in it
  models.resnet, models.lenet, ...     models to require

Tab completes names. Locals stay from line to line. Ctrl-C stops a running chunk, Ctrl-D leaves.]]

local function terminal_width()
  local ok, edit = pcall(require, "convlua.edit") -- absent in stock Lua
  return ok and edit.columns() or 80
end

--- Breaks the lines of a text that are too long between words; what follows has their indent.
local function wrap(text, width)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local indent = line:match "^%s*"
    while utf8.len(line, 1, -1, true) > width do
      local head = line:sub(1, (utf8.offset(line, width + 1) or #line + 1) - 1)
      local last = head:match "^.*%S()%s+%S*$" -- behind the last word that fits
      if not last or last <= #indent + 1 then break end
      lines[#lines + 1] = line:sub(1, last - 1)
      line = indent .. line:sub(last):gsub("^%s+", "")
    end
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\n")
end

--- All names in a list, in columns that fit a terminal.
local function columns(names)
  local width = terminal_width()
  local widest = 0
  for _, name in ipairs(names) do widest = math.max(widest, #name) end
  local per_line = math.max(1, (width - 2) // (widest + 2))
  local lines, line = {}, {}
  for i, name in ipairs(names) do
    line[#line + 1] = name .. (" "):rep(widest - #name)
    if #line == per_line or i == #names then
      lines[#lines + 1] = "  " .. table.concat(line, "  "):gsub("%s+$", "")
      line = {}
    end
  end
  return table.concat(lines, "\n")
end

-- Comments in sources -----------------------------------------------------------------------------

--- The text of a Lua source, embedded or on disk.
local function source_text(file)
  local text = env.source(file)
  if text then return text end
  local handle = io.open(file, "r")
  if not handle then return nil end
  text = handle:read "a"
  handle:close()
  return text
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

local function bare(comment)
  return (comment:gsub("^%s*%-%-%-? ?", ""))
end

--- The comment above the function that starts at a line, and that line.
local function function_comment(lines, start)
  local first = start
  while first > 1 and lines[first - 1]:find "^%s*%-%-" do first = first - 1 end
  local text = {}
  for i = first, start - 1 do text[#text + 1] = bare(lines[i]) end
  local signature = lines[start]:gsub("^%s*local%s+", ""):gsub("^%s*", "")
  return table.concat(text, "\n"), signature
end

--- The comment at the top of a source.
local function header(file)
  local text = source_text(file)
  if not text then return nil end
  local found = {}
  for _, line in ipairs(lines_of(text)) do
    if not line:find "^%-%-" then break end
    found[#found + 1] = bare(line)
  end
  return #found > 0 and table.concat(found, "\n") or nil
end

local function about_function(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return nil end
  local file = info.source:match "^@(.*)$"
  local text = file and source_text(file)
  if not text then return nil end
  local comment, signature = function_comment(lines_of(text), info.linedefined)
  local place = ("  %s\n  %s:%d"):format(signature, file, info.linedefined)
  return comment ~= "" and comment .. "\n\n" .. place or place
end

-- Ops and layers ----------------------------------------------------------------------------------

--- Descriptors of the core by name, from a function of it that lists them.
local function descriptors(list)
  local found = {}
  local core = require "convlua.core"
  if core[list] then
    for _, one in ipairs(core[list]()) do found[one.name] = one end
  end
  return found
end

local function default_text(option)
  if option.required then return "required" end
  return option.default == nil and "optional" or "default " .. tostring(option.default)
end

--- The doc of an op or a layer, and its options with their defaults and what they mean.
local function about_descriptor(one)
  local lines = { one.doc }
  for i, option in ipairs(one.options or {}) do
    if i == 1 then lines[#lines + 1] = "\noptions" end
    local kind = option.kind and option.kind .. ", " or ""
    lines[#lines + 1] = ("  %-16s %s%s"):format(option.name, kind, default_text(option))
    if option.doc and option.doc ~= "" then
      lines[#lines + 1] = ("  %-16s %s"):format("", option.doc)
    end
  end
  if one.samples and one.samples[1] then
    lines[#lines + 1] = "\nfor example\n  " .. one.samples[1]
  end
  return table.concat(lines, "\n")
end

-- Values ------------------------------------------------------------------------------------------

--- The module whose table this is: its name.
local function module_name(value)
  for name, loaded in pairs(package.loaded) do
    if rawequal(loaded, value) and env.sources()[name] then return name end
  end
end

--- Sorted names of the fields of a value, as completion sees them.
local function field_names(value)
  local names = {}
  local complete = require "convlua.repl.complete"
  complete.each_field(value, function(name)
    if name:sub(1, 1) ~= "_" then names[name] = true end
  end)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function about_fields(value, title)
  local names = field_names(value)
  if #names == 0 then return nil end
  return title .. "\n" .. columns(names)
end

--- A value by its name: "conv2d", "nn.Dense", "models.resnet".
local function by_name(name)
  local ok, library = pcall(require, "convlua")
  local value = ok and library or nil
  for part in name:gsub("^convlua%.", ""):gmatch "[^.:]+" do
    local got
    ok, got = pcall(function() return value[part] end)
    value = ok and got or nil
    if value == nil then break end
  end
  if value ~= nil then return value end
  return package.loaded[name]
end

--- The descriptor of an op, layer or optimizer, given it or its name.
local function find_descriptor(topic)
  local places = { require "convlua.core" }
  for _, name in ipairs { "convlua", "convlua.nn", "convlua.optim" } do
    places[#places + 1] = package.loaded[name]
  end
  for _, list in ipairs { "ops", "layers", "optimizers" } do
    for name, one in pairs(descriptors(list)) do
      if name == topic then return one end
      for _, place in pairs(places) do
        if topic ~= nil and rawequal(rawget(place, name), topic) then return one end
      end
    end
  end
end

--- The text for a C function that is not an op, given itself or its name.
local function bound_text(topic)
  local core = require "convlua.core"
  for part, texts in pairs(require "convlua.bound") do
    local place = part == "core" and core or part == "tensor" and core.tensor_methods or core[part]
    for name, text in pairs(texts) do
      if rawequal(topic, name) or topic ~= nil and place and rawequal(place[name], topic) then
        return text
      end
    end
  end
end

local function join(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    if part and part ~= "" then parts[#parts + 1] = part end
  end
  return #parts > 0 and table.concat(parts, "\n\n") or nil
end

--- The text about a value, or nil.
local function about(value)
  local one = find_descriptor(value)
  if one then return about_descriptor(one) end
  local text = type(value) == "function" and bound_text(value)
  if text then return text end
  local name = module_name(value)
  if type(value) == "function" then
    return join(name and header(env.sources()[name]), about_function(value))
  end
  local metatable = debug.getmetatable(value)
  local own = type(value) ~= "string" and metatable and rawget(metatable, "__doc")
  if type(own) == "string" then return own end
  if name then return join(header(env.sources()[name]), about_fields(value, "in it")) end
  local init = type(value) == "table" and rawget(value, "init") -- a class of modules: nn.Module
  if type(init) == "function" then
    return join(about_function(init), about_fields(value, "fields and methods"))
  end
  if type(value) == "table" and metatable and type(rawget(metatable, "__call")) == "function" and
    not rawget(metatable, "__tostring") then
    text = about_function(rawget(metatable, "__call"))
    if text then return join(text, about_fields(value, "fields and methods")) end
  end
  if type(value) == "table" or type(value) == "userdata" then
    local shown = metatable and (rawget(metatable, "__tostring") or rawget(metatable, "__name"))
    return join(shown and tostring(value), about_fields(value, "fields and methods"))
  end
end

--- The text about a value or a name, never nil.
local function text_about(topic)
  if topic == nil then return "nil is nothing." end
  if type(topic) ~= "string" then
    return about(topic) or ("%s: no help for it."):format(tostring(topic))
  end
  local one = find_descriptor(topic)
  if one then return about_descriptor(one) end
  local value = by_name(topic)
  return value ~= nil and about(value) or bound_text(topic)
    or ("Nothing is known about '%s'. help() tells how to begin."):format(topic)
end

--- Prints what is known about a value or a name.
return function(...)
  print(select("#", ...) == 0 and intro or wrap(text_about((...)), terminal_width()))
end
