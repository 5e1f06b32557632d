--- nn.resize(x, { size = , mode = "area" }): x {N, (spatial), C} with other spatial sizes. Differentiable.
--
--   size  one whole number for every spatial axis, or a list of one per axis
--   mode  "area":     an output is the mean of the input it covers, parts of pixels included
--         "bilinear": weights fall linearly from the output's centre, to 0 one pixel away, or where
--                     the input is larger than the output one output pixel away (antialiased). As
--                     io.resize, Pillow's BILINEAR, and PyTorch's interpolate with antialias = true
--
-- Pixels are squares with their centres at half-integers. Both are linear and work axis by axis, so
-- each axis is the product with a matrix {to, from}.

local core = require "convlua.core"
local options = require "convlua.nn.options"

--- What input pixel j (from 0) weighs in output pixel i; `scale` input pixels make one output pixel.
local weights = {
  area = function(i, j, scale)
    return math.max(0, math.min(j + 1, (i + 1) * scale) - math.max(j, i * scale))
  end,
  bilinear = function(i, j, scale)
    local distance = math.abs(j + 0.5 - (i + 0.5) * scale)
    return math.max(0, 1 - distance / math.max(scale, 1))
  end,
}

--- {to, from}, the sum of each row 1.
local function matrix(to, from, weight)
  local rows = {}
  for i = 1, to do
    local row, sum = {}, 0
    for j = 1, from do
      row[j] = weight(i - 1, j - 1, from / to)
      sum = sum + row[j]
    end
    for j = 1, from do row[j] = row[j] / sum end
    rows[i] = row
  end
  return core.tensor(rows, { dtype = "float64" })
end

local function sizes_of(size, axes)
  local list = type(size) == "table" and size or {}
  if math.type(size) == "integer" then
    for axis = 1, axes do list[axis] = size end
  end
  local right = #list == axes
  for _, to in ipairs(list) do right = right and math.type(to) == "integer" and to > 0 end
  if right then return list end
  local got = type(size) == "table" and "{" .. table.concat(list, ", ") .. "}" or tostring(size)
  error(("resize: size must be a whole number from 1, or a list of %d of them, got %s"):format(axes, got), 3)
end

return function(x, given)
  local o = options.read(given, { size = options.required, mode = "area" }, "resize")
  options.choice(o.mode, { "area", "bilinear" }, "mode", "resize")
  if not core.is_tensor(x) or x.ndim < 3 then
    error(("resize: x {N, (spatial), C} expected, got %s"):format(
      core.is_tensor(x) and "{" .. table.concat(x.shape, ", ") .. "}" or type(x)), 2)
  end
  local shape = x.shape
  for axis, to in ipairs(sizes_of(o.size, #shape - 2)) do
    local from = shape[axis + 1]
    if from ~= to then
      local before, after = 1, 1
      for a = 1, axis do before = before * shape[a] end
      for a = axis + 2, #shape do after = after * shape[a] end
      local m = matrix(to, from, weights[o.mode]):to(x.dtype):to(x.device)
      x = m:matmul(x:reshape(before, from, after))
      shape[axis + 1] = to
    end
  end
  return x:reshape(table.unpack(shape))
end
