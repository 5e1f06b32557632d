--- JSON (RFC 8259): encode(value, options) -> string, decode(string) -> value.
-- Made for files that are compared byte by byte: keys are sorted, integers stay integers, floats
-- are written with the fewest digits that read back as the same number. Strict: what is not JSON is
-- an error with its position; what JSON cannot say is an error that tells where in the value it is.

local json = {}

--- Stands for null inside tables, where nil cannot be.
json.null = setmetatable({}, { __tostring = function() return "null" end })

local Array = { __name = "json.array" }

--- Marks a table as a list, so that {} becomes [] and not an object.
function json.array(list)
  return setmetatable(list or {}, Array)
end

local DEEPEST = 100

-- Encoding -----------------------------------------------------------------------------------------

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t" }

local function quote(text, where)
  if not utf8.len(text) then error(("json: %s is not UTF-8"):format(where), 0) end
  return '"' .. text:gsub('[%c"\\\127]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(value, options, where)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value ~= value or value == math.huge or value == -math.huge then
    if options.non_finite == "null" then return "null" end
    error(("json: %s is %s, which JSON cannot say"):format(where, value), 0)
  end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then
      return text:find "[.e]" and text or text .. ".0" -- a float stays a float
    end
  end
end

local function is_list(value)
  if getmetatable(value) == Array then return true end
  local n = #value
  if n == 0 then return false end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count == n
end

local encode

local function encode_object(value, options, where, depth)
  local keys, out = {}, {}
  for key in pairs(value) do
    if type(key) ~= "string" then
      error(("json: %s has the key %s, a %s: keys are strings"):format(where, tostring(key), type(key)), 0)
    end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    local inner = where .. "." .. key
    out[i] = quote(key, inner) .. ":" .. encode(value[key], options, inner, depth + 1)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value, options, where, depth)
  local kind = type(value)
  if value == nil or value == json.null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return number(value, options, where) end
  if kind == "string" then return quote(value, where) end
  if kind ~= "table" then error(("json: %s is a %s"):format(where, kind), 0) end
  if depth > DEEPEST then error(("json: %s is nested too deeply, or contains itself"):format(where), 0) end
  if not is_list(value) then return encode_object(value, options, where, depth) end
  local out = {}
  for i = 1, #value do
    out[i] = encode(value[i], options, ("%s[%d]"):format(where, i), depth + 1)
  end
  return "[" .. table.concat(out, ",") .. "]"
end

--- options.non_finite = "null" writes infinities and NaN as null instead of refusing them.
function json.encode(value, options)
  return encode(value, options or {}, "the value", 1)
end

-- Decoding -----------------------------------------------------------------------------------------

local function fail(text, at, message)
  local _, line = text:sub(1, at - 1):gsub("\n", "")
  error(("json: %s at byte %d, line %d"):format(message, at, line + 1), 0)
end

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local plain = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function hex4(text, at)
  local digits = text:match("^%x%x%x%x", at)
  return digits and tonumber(digits, 16) or fail(text, at, "four hexadecimal digits expected")
end

--- The character of the escape whose letter is at `at`, and the position after it.
local function escaped(text, at)
  local letter = text:sub(at, at)
  if plain[letter] then return plain[letter], at + 1 end
  if letter ~= "u" then fail(text, at, "unknown escape") end
  local code = hex4(text, at + 1)
  if code < 0xD800 or code > 0xDFFF then return utf8.char(code), at + 5 end
  local low = code <= 0xDBFF and text:sub(at + 5, at + 6) == "\\u" and hex4(text, at + 7) or 0
  if low < 0xDC00 or low > 0xDFFF then fail(text, at, "half of a surrogate pair") end
  return utf8.char(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00), at + 11
end

local function string_at(text, at) -- `at`: behind the opening quote
  local parts = {}
  while true do
    local stop = text:find('["\\%c]', at)
    if not stop then fail(text, at, "string without end") end
    parts[#parts + 1] = text:sub(at, stop - 1)
    local c = text:sub(stop, stop)
    if c == '"' then return table.concat(parts), stop + 1 end
    if c == "\\" then
      parts[#parts + 1], at = escaped(text, stop + 1)
    elseif c == "\127" then
      parts[#parts + 1], at = c, stop + 1
    else
      fail(text, stop, "control character in a string")
    end
  end
end

local function number_at(text, at)
  if text:find("^-?0%d", at) then fail(text, at, "malformed number") end
  local whole = text:match("^-?0", at) or text:match("^-?[1-9]%d*", at)
  if not whole then fail(text, at, "value expected") end
  local stop = at + #whole
  local rest = text:match("^%.%d+", stop) or ""
  rest = rest .. (text:match("^[eE][+-]?%d+", stop + #rest) or "")
  stop = stop + #rest
  if text:find("^[%w.]", stop) then fail(text, stop, "malformed number") end
  return (rest == "" and math.tointeger(tonumber(whole))) or tonumber(whole .. rest) + 0.0, stop
end

local words = { ["true"] = true, ["false"] = false, ["null"] = json.null }

local value_at

local function list_at(text, at, depth)
  local list = json.array()
  at = skip(text, at)
  if text:sub(at, at) == "]" then return list, at + 1 end
  while true do
    list[#list + 1], at = value_at(text, at, depth)
    at = skip(text, at)
    local c = text:sub(at, at)
    if c == "]" then return list, at + 1 end
    if c ~= "," then fail(text, at, "',' or ']' expected") end
    at = at + 1
  end
end

local function object_at(text, at, depth)
  local object = {}
  at = skip(text, at)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    at = skip(text, at)
    if text:sub(at, at) ~= '"' then fail(text, at, "key expected") end
    local start, key = at
    key, at = string_at(text, at + 1)
    if object[key] ~= nil then fail(text, start, ("the key '%s' comes twice"):format(key)) end
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then fail(text, at, "':' expected") end
    object[key], at = value_at(text, at + 1, depth)
    at = skip(text, at)
    local c = text:sub(at, at)
    if c == "}" then return object, at + 1 end
    if c ~= "," then fail(text, at, "',' or '}' expected") end
    at = at + 1
  end
end

function value_at(text, at, depth)
  at = skip(text, at)
  if depth > DEEPEST then fail(text, at, "nested too deeply") end
  local c = text:sub(at, at)
  if c == "{" then return object_at(text, at + 1, depth + 1) end
  if c == "[" then return list_at(text, at + 1, depth + 1) end
  if c == '"' then return string_at(text, at + 1) end
  local word = text:match("^%l+", at)
  if word and words[word] ~= nil then return words[word], at + #word end
  return number_at(text, at)
end

--- null becomes json.null, lists are marked as json.array does. Raises on anything that is not JSON.
function json.decode(text)
  if not utf8.len(text) then error("json: the text is not UTF-8", 0) end
  local value, at = value_at(text, 1, 1)
  at = skip(text, at)
  if at <= #text then fail(text, at, "the end expected") end
  return value
end

return json
