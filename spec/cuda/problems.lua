--- Every convolution of every model in models/, each once, for dnn_accept.c: a line of numbers
--   axes  N C K groups  in...  filter...  out...  stride...  dilation...  before...  after...
-- found by running each model on one image, and repeated for the batches below. "before" and
-- "after" are the zeros around the input, as ops/window.h has them.

local convlua = require "convlua"
local models = require "models"
local trace = require "convlua.nn.trace"

local batches = { 1, 128 }

-- How each model can be made, and the images that it then takes; all ResNets alike.
local variants = {
  lenet = { { {}, 32 }, { { channel_count = 1 }, 32 } },
  airbench = { { {}, 32 } },
}
local resnets = {
  { { class_count = 10, stem = "cifar" }, 32 },
  { { class_count = 10, stem = "cifar", padding = "symmetric" }, 32 },
  { { class_count = 10 }, 32 },
  { { class_count = 1000 }, 224 },
  { { class_count = 1000, padding = "symmetric" }, 224 },
}

--- The numbers of one spatial axis: out, before, after. TensorFlow's rule for "same".
local function axis(size, filter, stride, dilation, padding, i)
  local reach = dilation * (filter - 1) + 1
  local before, after = 0, 0
  if padding == "same" then
    local total = math.max(((size + stride - 1) // stride - 1) * stride + reach - size, 0)
    before, after = total // 2, total - total // 2
  elseif padding ~= "valid" then
    local pair = type(padding) == "table" and padding[i] or padding
    before = type(pair) == "table" and pair[1] or pair
    after = type(pair) == "table" and pair[2] or pair
  end
  return (size + before + after - reach) // stride + 1, before, after
end

local function at(option, i) return type(option) == "table" and option[i] or option end

--- The fields of a line but for N, or nil when the part is no convolution.
local function describe(part, x)
  local kind = type(part) == "userdata" and part.type
  local axes = kind and tonumber(kind:match("^Conv(%d)D$"))
  if not axes then return end
  local o, in_, out = part.options, x.shape, {}
  local rows = { {}, {}, {}, {}, {}, {}, {} }
  for i = 1, axes do
    local size, filter = in_[1 + i], o.filter_shape[i]
    local stride, dilation = at(o.strides, i), at(o.dilations, i)
    local before, after
    out[i], before, after = axis(size, filter, stride, dilation, o.padding, i)
    for k, v in ipairs { size, filter, out[i], stride, dilation, before, after } do rows[k][i] = v end
  end
  local numbers = { o.filter_shape[axes + 1] * o.groups, o.filter_shape[axes + 2], o.groups }
  for _, row in ipairs(rows) do table.move(row, 1, axes, #numbers + 1, numbers) end
  return axes, table.concat(numbers, " ")
end

local seen, lines = {}, {}
local function tell(part, inputs)
  local axes, numbers = describe(part, inputs[1])
  if not axes or seen[axes .. numbers] then return end
  seen[axes .. numbers] = true
  for _, n in ipairs(batches) do lines[#lines + 1] = ("%d %d %s"):format(axes, n, numbers) end
end

local names = {}
for name in pairs(models) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  local made = variants[name] or name:find "^resnet" and resnets
  if not made then error(("problems.lua does not say how '%s' is made"):format(name), 0) end
  for _, variant in ipairs(made) do
    local options, size = table.unpack(variant)
    local model = models[name](options)
    model:eval()
    convlua.no_grad(function()
      trace.watch(tell, model, convlua.zeros{ 1, size, size, options.channel_count or 3 })
    end)
  end
end
print(table.concat(lines, "\n"))
