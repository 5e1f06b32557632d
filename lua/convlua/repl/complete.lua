--- Completion: names, fields and methods, looked up without running anybody's code.

local complete = {}

local keywords = { "break", "else", "elseif", "false", "function", "goto", "local", "nil", "repeat",
  "return", "then", "true", "until", "while" }

-- Fields that no table lists, because a C function computes them; by the __name of the metatable.
local computed = {
  ["convlua.tensor"] = {
    "device", "dtype", "grad", "is_leaf", "made_by", "ndim", "requires_grad", "shape",
  },
}

local DEEPEST = 10 -- metatables of metatables

--- The raw field of a value: its own, or what a chain of __index tables gives.
local function field(value, name)
  for _ = 1, DEEPEST do
    if type(value) == "table" then
      local found = rawget(value, name)
      if found ~= nil then return found end
    end
    local metatable = debug.getmetatable(value)
    local index = metatable and rawget(metatable, "__index")
    if type(index) == "function" then -- methods of userdata lie beside it
      local methods = rawget(metatable, "methods")
      return rawget(metatable, name) or type(methods) == "table" and methods[name] or nil
    end
    if index == nil then return nil end
    value = index
  end
end

--- Calls visit(name, value) for each field of a value that `field` would find.
function complete.each_field(value, visit)
  local function visit_table(t)
    for name, found in next, t do
      if type(name) == "string" and name:find "^[%a_][%w_]*$" then visit(name, found) end
    end
  end
  for _ = 1, DEEPEST do
    if type(value) == "table" then visit_table(value) end
    local metatable = debug.getmetatable(value)
    local index = metatable and rawget(metatable, "__index")
    if type(index) == "function" then
      visit_table(metatable)
      if type(rawget(metatable, "methods")) == "table" then visit_table(metatable.methods) end
      for _, name in ipairs(computed[rawget(metatable, "__name")] or {}) do visit(name) end
    end
    if index == nil or type(index) == "function" then return end
    value = index
  end
end

local function callable(value)
  local metatable = debug.getmetatable(value)
  return type(value) == "function" or metatable ~= nil and rawget(metatable, "__call") ~= nil
end

--- Every name that can stand at the start of an expression: visit(name).
local function each_root(session, visit)
  for _, name in ipairs(session:names()) do visit(name) end
  complete.each_field(_G, visit)
  for _, name in ipairs(keywords) do visit(name) end
end

local function root(session, name)
  local found, value = session:get(name)
  if found then return value end
  return field(_G, name)
end

--- The words that may stand where `word` has been begun: a sorted list. `word` is a name, or names
-- joined by '.' with a last '.' or ':' before the part that is completed.
function complete.words(session, word)
  local path, separator, begun = word:match "^(.*)([.:])([%w_]*)$"
  local set, list = {}, {}
  local function offer(name, value)
    if name:sub(1, #begun) ~= begun or set[name] then return end
    if separator == ":" and not callable(value) then return end
    if begun == "" and separator and name:sub(1, 2) == "__" then return end -- when asked for
    set[name] = true
    list[#list + 1] = (path or "") .. (separator or "") .. name
  end
  if not separator then
    begun = word
    if begun:find "^[%w_]*$" then each_root(session, offer) end
  else
    local value
    local valid = path ~= "" and not path:find "[^%w_.]"
    for name in (valid and path or ""):gmatch "[^.]+" do
      if value == nil then value = root(session, name) else value = field(value, name) end
      if value == nil then return list end
    end
    if value ~= nil then complete.each_field(value, offer) end
  end
  table.sort(list)
  return list
end

--- What the line editor calls: the line, and where the word begun in it lies. A tab on an empty
-- line indents.
function complete.completer(session)
  return function(line, first, last)
    if not line:sub(1, last):find "%S" then return { "  " } end
    return complete.words(session, line:sub(first, last))
  end
end

return complete
