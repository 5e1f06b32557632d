--- nn.resize(x, { size = , mode = "area" }): x {N, (spatial), C} with other
-- spatial sizes. Differentiable.
--
--   size  a whole number for all spatial axes, or a list of one for each
--   mode  "area": an output is the mean of the input that it covers, parts of
--         pixels included. "bilinear": weights fall linearly from the output's
--         centre to 0 a pixel away, of input or output, whichever is larger
--         (antialiased), as io.resize, Pillow's BILINEAR and PyTorch's
--         interpolate with antialias = true have it
--
-- Pixels are squares with their centres at half-integers. Both modes are
-- linear and work axis by axis: each axis is the product with a matrix
-- {to, from}.

local core = require "convlua.core"
local options = require "convlua.nn.options"

local floating = { float32 = true, float64 = true, bfloat16 = true, float16 = true }

--- What input pixel j weighs in output pixel i, both counted from 0, {to, from}; `scale` input
-- pixels make one output pixel.
local weights = {
  area = function(i, j, scale)
    return core.relu(core.minimum(j + 1, (i + 1) * scale) - core.maximum(j, i * scale))
  end,
  bilinear = function(i, j, scale)
    local distance = (j + 0.5 - (i + 0.5) * scale):abs()
    return core.relu(1 - distance / math.max(scale, 1))
  end,
}

--- {to, from}, the sum of each row 1.
local function matrix(to, from, weight)
  local i = core.arange(0, to - 1, { dtype = "float64" }):reshape(to, 1)
  local j = core.arange(0, from - 1, { dtype = "float64" })
  local m = weight(i, j, from / to)
  return m / m:sum(2, true)
end

local function describe(value)
  if type(value) ~= "table" then return tostring(value) end
  local list = {}
  for i, part in ipairs(value) do list[i] = tostring(part) end
  return "{" .. table.concat(list, ", ") .. "}"
end

local function sizes_of(size, axes)
  local list = type(size) == "table" and size or {}
  if math.type(size) == "integer" then
    for axis = 1, axes do list[axis] = size end
  end
  local right = #list == axes
  for _, to in ipairs(list) do right = right and math.type(to) == "integer" and to > 0 end
  if right then return list end
  error(("resize: size must be a whole number from 1, or a list of %d of them, got %s"):format(
    axes, describe(size)), 3)
end

local function check(x)
  if not core.is_tensor(x) or x.ndim < 3 then
    error("resize: x {N, (spatial), C} expected, got " .. (core.is_tensor(x) and describe(x.shape) or type(x)), 3)
  end
  if not floating[x.dtype] then error("resize: x of a floating type expected, got " .. x.dtype, 3) end
  for axis = 2, x.ndim - 1 do
    if x.shape[axis] == 0 then error("resize: x has no pixels: " .. describe(x.shape), 3) end
  end
end

return function(x, given)
  local o = options.read(given, { size = options.required, mode = "area" }, "resize")
  options.choice(o.mode, { "area", "bilinear" }, "mode", "resize")
  check(x)
  local shape = x.shape
  for axis, to in ipairs(sizes_of(o.size, x.ndim - 2)) do
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
