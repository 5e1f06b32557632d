--- Receptive fields: how much of the input an element of a tensor sees, followed through a forward
-- pass. Araujo, Norris, Sim: Computing Receptive Fields of CNNs, Distill 2019, eq. 1 and 2.
--
-- A field is { size = {h, w}, step = {h, w} }: the extent seen by one element, in input elements,
-- and the distance between what two neighbours see; or "all", when an element may see everything.
-- A layer with filter f, stride s and dilation d makes of it, axis by axis,
--   size + d (f - 1) step,   step * s

local core = require "convlua.core"

local field = {}

local function each_axis(n, size_of, step_of)
  local size, step = {}, {}
  for i = 1, n do size[i], step[i] = size_of(i), step_of(i) end
  return { size = size, step = step }
end

--- An element of the input sees itself. `axes`: how many spatial axes there are.
function field.of_input(axes)
  return each_axis(axes, function() return 1 end, function() return 1 end)
end

local function per_axis(value, i)
  return type(value) == "table" and (value[i] or value[1]) or value
end

-- Layers that enlarge: per output element ceil(f / s) inputs for a transposed convolution, one for
-- nearest and two for bilinear up-sampling.
local function enlarged(layer, before)
  local o = layer.options
  local stride = o.size or o.strides or 1
  local function taps(i)
    if o.mode then return o.mode == "nearest" and 1 or 2 end
    local f = (per_axis(o.filter_shape, i) - 1) * per_axis(o.dilations or 1, i) + 1
    return -(-f // per_axis(stride, i))
  end
  return each_axis(#before.size,
    function(i) return before.size[i] + (taps(i) - 1) * before.step[i] end,
    function(i) return before.step[i] / per_axis(stride, i) end)
end

--- The field of `layer`'s output elements. The layers that see all of the input are those that
-- leave no spatial axis (shape {N, C}) of several.
function field.after(layer, before, output)
  if before == "all" or (#before.size > 0 and output.ndim < #before.size + 2) then return "all" end
  if layer.type:find "^TransposedConv" or layer.type:find "^UpSampling" then
    return enlarged(layer, before)
  end
  local filter, stride, dilation = layer:window()
  if not filter then return before end
  return each_axis(#before.size,
    function(i) return before.size[i] + dilation[i] * (filter[i] - 1) * before.step[i] end,
    function(i) return before.step[i] * stride[i] end)
end

--- What an element sees that is computed from elements with these two fields.
function field.union(a, b)
  if a == nil or b == nil then return a or b end
  if a == "all" or b == "all" then return "all" end
  return each_axis(#a.size, function(i) return math.max(a.size[i], b.size[i]) end,
    function(i) return math.max(a.step[i], b.step[i]) end)
end

local operators = { "__add", "__sub", "__mul", "__div", "__pow", "__mod", "__unm" }

--- Runs f(...) while the results of tensors' methods and operators get the fields of their
-- operands: known is a table tensor -> field, which the caller fills and reads.
function field.follow(known, f, ...)
  local methods, former = core.tensor_methods, {}
  local function wrap(name)
    local call = methods[name]
    if not call then return end
    former[name] = call
    methods[name] = function(a, b, ...)
      local y = call(a, b, ...)
      if core.is_tensor(y) then known[y] = field.union(known[a], b ~= nil and known[b] or nil) end
      return y
    end
  end
  for _, op in ipairs(core.ops()) do wrap(op.name) end
  for _, name in ipairs(operators) do wrap(name) end
  local results = table.pack(pcall(f, ...))
  for name, call in pairs(former) do methods[name] = call end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- "7 x 7", "all", "-" where there is no space.
function field.text(a)
  if a == "all" then return a end
  local list = {}
  for i, n in ipairs(a.size) do list[i] = ("%d"):format(math.ceil(n)) end
  return #list > 0 and table.concat(list, " x ") or "-"
end

return field
