--- Methods of tensors that are written in Lua. Loaded with the library; adds to the tensors' own.

local core = require "convlua.core"
local joined = core.joined
local methods = core.tensor_methods

--- x:through(a, b, c) = c(b(a(x))): layers, modules or functions, one after the other; a layer and
-- the one behind it in one pass where core.joined knows how.
function methods.through(x, ...)
  local count, i = select("#", ...), 1
  while i <= count do
    local part, after = select(i, ...)
    local both = joined(part, after)
    if both then
      x = both(part, after, x)
      i = i + 2
    else
      x = part(x)
      i = i + 1
    end
  end
  return x
end

-- Changes in place: x:add_(y) and so on, y a tensor or a number; x itself is returned. A tensor
-- that requires gradients can be changed inside convlua.no_grad alone.
for name, operation in pairs {
  add_ = core.add, sub_ = core.sub, mul_ = core.mul, div_ = core.div,
} do
  methods[name] = function(x, y)
    local result <close> = operation(x, y)
    return x:copy_(result)
  end
end

--- Views of `length` elements along an axis (the last may be shorter), or of the lengths in a list:
-- x:split(2), x:split({1, 3}, -1). Gives a list.
function methods.split(x, length, axis)
  axis = axis or 1
  local size, lengths = x:size(axis), length
  if type(length) == "table" then
    local total = 0
    for _, n in ipairs(length) do total = total + n end
    if total ~= size then
      error(("split: lengths with sum %d expected, got %d"):format(size, total), 2)
    end
  elseif math.type(length) == "integer" and length > 0 then
    lengths = {}
    for first = 1, size, length do lengths[#lengths + 1] = math.min(length, size - first + 1) end
  else
    error("split: a positive integer or a list of them expected, got " .. tostring(length), 2)
  end
  local parts, first = {}, 1
  for i, n in ipairs(lengths) do
    if math.type(n) ~= "integer" or n < 1 then
      error("split: positive integers expected, got " .. tostring(n), 2)
    end
    parts[i] = x:slice(axis, first, first + n - 1)
    first = first + n
  end
  return parts
end

--- At most `count` views of equal length along an axis; the last may be shorter.
function methods.chunk(x, count, axis)
  if math.type(count) ~= "integer" or count < 1 then
    error("chunk: a positive integer expected, got " .. tostring(count), 2)
  end
  local size = x:size(axis or 1)
  return methods.split(x, math.max(1, (size + count - 1) // count), axis)
end

return methods
