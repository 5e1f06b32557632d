--- Values as a person wants to read them: tables with their contents, to a depth; everything else
-- as tostring gives it.
--
--   pretty(value, { columns = 80, depth = 4, items = 50 }) -> text, perhaps of several lines
-- A table goes on one line when it fits. Lists come first, then the other keys: strings sorted,
-- then the rest.

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function quote(text)
  text = text:gsub('[%c\\"]', function(c) return escapes[c] or ("\\%d"):format(c:byte()) end)
  return '"' .. text .. '"'
end

local reserved = {}
for word in ("and break do else elseif end false for function goto if in local nil not or " ..
  "repeat return then true until while"):gmatch "%a+" do
  reserved[word] = true
end

local function rank(key)
  local kind = type(key)
  return kind == "number" and 1 or kind == "string" and 2 or 3
end

local function before(a, b)
  local ra, rb = rank(a), rank(b)
  if ra ~= rb then return ra < rb end
  if ra == 3 then return tostring(a) < tostring(b) end
  return a < b
end

--- Keys beyond the list part, sorted.
local function other_keys(t, length)
  local keys = {}
  for key in next, t do
    local listed = math.type(key) == "integer" and key >= 1 and key <= length
    if not listed then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  return keys
end

local function printable(value)
  local ok, text = pcall(tostring, value)
  return ok and text or "(" .. type(value) .. " whose __tostring failed: " .. tostring(text) .. ")"
end

local format

local function key_text(key, o)
  if type(key) == "string" then
    if key:find "^[%a_][%w_]*$" and not reserved[key] then return key end
    return "[" .. quote(key) .. "]"
  end
  return "[" .. (type(key) == "table" and printable(key) or format(key, o, "", 0)) .. "]"
end

--- The list part as `#` would tell, without metamethods; holes end it.
local function list_length(t)
  local n = 0
  while rawget(t, n + 1) ~= nil do n = n + 1 end
  return n
end

local function format_table(t, o, indent, depth)
  if o.open[t] then return "(again " .. printable(t) .. ")" end
  if next(t) == nil then return "{}" end
  if depth >= o.depth then return "{...}" end
  o.open[t] = true
  local inner = indent .. "  "
  local items, left = {}, 0
  local function add(make)
    if #items < o.items then items[#items + 1] = make() else left = left + 1 end
  end
  local length = list_length(t)
  for i = 1, length do
    add(function() return format(rawget(t, i), o, inner, depth + 1) end)
  end
  for _, key in ipairs(other_keys(t, length)) do
    add(function()
      local text = format(rawget(t, key), o, inner, depth + 1)
      local rows = text:find "\n" and text:sub(1, 2) ~= "{\n" -- must stay below each other
      text = rows and "\n" .. inner .. "  " .. text:gsub("\n", "\n  ") or " " .. text
      return key_text(key, o) .. " =" .. text
    end)
  end
  if left > 0 then items[#items + 1] = ("... %d more"):format(left) end
  o.open[t] = nil
  local line = "{ " .. table.concat(items, ", ") .. " }"
  if #indent + utf8.len(line, 1, -1, true) <= o.columns and not line:find "\n" then return line end
  return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

function format(value, o, indent, depth)
  local kind = type(value)
  if kind == "string" then return quote(value) end
  if kind == "table" then
    local metatable = debug.getmetatable(value)
    if not (metatable and (metatable.__tostring or metatable.__name)) then
      return format_table(value, o, indent, depth)
    end
  end
  return (printable(value):gsub("\n", "\n" .. indent))
end

return function(value, options)
  options = options or {}
  if type(value) == "string" then return value end
  return format(value, {
    columns = options.columns or 80, depth = options.depth or 4, items = options.items or 50,
    open = {}, -- tables being formatted, to see cycles
  }, "", 0)
end
