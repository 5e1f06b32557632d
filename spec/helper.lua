-- What the specs may say besides luassert's own words. Loaded before every spec file.
--
--   assert.close(a, b, [tolerance])   tensors, numbers, tables of numbers to any depth: one shape
--                                     and everywhere |a - b| <= tolerance * max(1, |b|), NaN equal
--                                     to NaN; tolerance 1e-6 when not given
--   assert.raises_like(fn, text)      fn raises an error with `text`, taken literally, in it

local luassert = require "luassert"
local say = require "say"

pcall(require, "convlua") -- once, here: busted opens again what a spec file itself requires

local function plain(value)
  if type(value) == "userdata" and value.to_table then return value:to_table() end
  if type(value) == "userdata" and value.item then return value:item() end
  return value
end

local function show(value)
  local text = type(value) == "table" and require "pl.pretty".write(value, "") or tostring(value)
  return #text <= 300 and text or text:sub(1, 300) .. "..."
end

-- nil when close, else a sentence about the first difference.
local function difference(a, b, tolerance, where)
  if type(a) == "table" and type(b) == "table" then
    if #a ~= #b then
      return ("%s has %d elements in the first and %d in the second"):format(where, #a, #b)
    end
    for i = 1, #a do
      local found = difference(a[i], b[i], tolerance, where .. "[" .. i .. "]")
      if found then return found end
    end
    return nil
  end
  if type(a) ~= "number" or type(b) ~= "number" then
    if a == b then return nil end
    return ("%s is %s in the first and %s in the second"):format(where, show(a), show(b))
  end
  if a == b or (a ~= a and b ~= b) then return nil end
  if math.abs(a - b) <= tolerance * math.max(1, math.abs(b)) then return nil end
  return ("%s is %.9g in the first and %.9g in the second: %.3g apart, %g is allowed"):format(
    where, a, b, math.abs(a - b), tolerance)
end

local function close(state, arguments)
  local a, b, tolerance = plain(arguments[1]), plain(arguments[2]), arguments[3] or 1e-6
  local found = difference(a, b, tolerance, "the value")
  state.failure_message = found or ("both are %s, within %g"):format(show(a), tolerance)
  return found == nil
end

local function raises_like(state, arguments)
  local fn, text = arguments[1], arguments[2]
  local ok, message = pcall(fn)
  if ok then
    state.failure_message = ("no error was raised; expected one with %q in it"):format(text)
    return false
  end
  state.failure_message = ("the error was %q; expected %q in it"):format(tostring(message), text)
  return tostring(message):find(text, 1, true) ~= nil
end

say:set("assertion.close", "(assert.close)")
say:set("assertion.raises_like", "(assert.raises_like)")
luassert:register("assertion", "close", close, "assertion.close", "assertion.close")
luassert:register("assertion", "raises_like", raises_like, "assertion.raises_like",
  "assertion.raises_like")
