-- usage: convlua spec/cuda/precision.lua
--
-- Products with rounded operands on the first CUDA device, in each precision and each pass: a pass that
-- rounds gives the float64 product of the rounded operands, to a rounding of the result; one that does
-- not, what it gives in float32. Products of small whole numbers are exact in all of them. Then a loop of
-- precision "f16", captured and not: its loss scale starts where gradients are infinite, and comes down.
--
-- Prints "N of N" comparisons; status 1 unless all hold.

local convlua = require "convlua"
local autograd = convlua.autograd

local stored = { float32 = "float32", bf16 = "bfloat16", ["bf16-full"] = "bfloat16", f16 = "float16" }
local unit = { float32 = 2 ^ -20, bfloat16 = 2 ^ -8, float16 = 2 ^ -11 } -- of the largest number in a result

local cases = {
  { "matmul", function(a, b) return a:matmul(b) end, { 7, 20 }, { 20, 5 } },
  { "matmul of a transposed view", function(a, b) return a:transpose(1, 2):matmul(b) end, { 20, 7 }, { 20, 5 } },
  { "matmul of every other row", function(a, b) return a:slice(1, 1, -1, 2):matmul(b) end, { 9, 12 }, { 12, 3 } },
  { "matmul of batches", function(a, b) return a:matmul(b) end, { 3, 2, 4, 6 }, { 2, 6, 5 } },
  { "matmul with a vector", function(a, b) return a:matmul(b) end, { 2, 4, 6 }, { 6 } },
  { "conv1d", function(x, w) return convlua.conv1d(x, w, nil, { padding = "same" }) end, { 2, 9, 3 }, { 3, 3, 4 } },
  { "conv2d", function(x, w) return convlua.conv2d(x, w) end, { 2, 6, 7, 3 }, { 3, 3, 3, 8 } },
  { "conv2d, padded unevenly", function(x, w)
    return convlua.conv2d(x, w, nil, { padding = "same", strides = 2 })
  end, { 2, 8, 8, 4 }, { 3, 3, 4, 5 } },
  { "conv2d in groups", function(x, w)
    return convlua.conv2d(x, w, nil, { groups = 2, dilations = 2 })
  end, { 1, 7, 7, 4 }, { 2, 2, 2, 6 } },
  { "conv3d", function(x, w) return convlua.conv3d(x, w, nil, { padding = "same" }) end, { 1, 3, 4, 4, 2 }, { 2, 2, 2, 2, 3 } },
}

local compared, agreed = 0, 0

local function check(what, found, expected, tolerance)
  compared = compared + 1
  found, expected = found:to "cpu":cast "float64", expected:to "cpu":cast "float64"
  local gap = (found - expected):abs():max():item()
  local allowed = tolerance * math.max(1, expected:abs():max():item())
  if gap <= allowed then
    agreed = agreed + 1
  else
    print(("FAIL %s: off by %.3g, %.3g is allowed"):format(what, gap, allowed))
  end
end

local function leaf(x, dtype, device)
  x = x:detach():cast(dtype):to(device)
  x.requires_grad = true
  return x
end

--- The result and both gradients.
local function passes(f, a, b, g)
  local y = f(a, b)
  local ga, gb = table.unpack(autograd.grad(y, { a, b }, { gradient = g }))
  return { y:detach(), ga, gb }
end

local names = { "the result", "the first gradient", "the second gradient" }

local function try(precision, case, random)
  local name, f, first, second = table.unpack(case)
  local half = stored[precision]
  local a, b = random(first), random(second)
  local g = random(f(a, b).shape)
  local found = autograd.precision(precision, passes, f, leaf(a, "float32", "cuda"), leaf(b, "float32", "cuda"), g:to "cuda")
  local function reference(dtype)
    local function wide(x) return x:cast(dtype):cast "float64" end
    return passes(f, leaf(wide(a), "float64", "cpu"), leaf(wide(b), "float64", "cpu"), wide(g))
  end
  local exact, rounded = reference "float32", reference(half)
  for i = 1, 3 do
    local rounds = precision ~= "float32" and (i > 1 or precision ~= "bf16")
    local what = ("%s of %s in %s"):format(names[i], name, precision)
    check(what, found[i], rounds and rounded[i] or exact[i], unit[rounds and half or "float32"])
    if rounds then -- it did: the float32 product is farther off
      compared = compared + 1
      local gap = (found[i]:to "cpu":cast "float64" - exact[i]):abs():max():item()
      local whole = (exact[i] - exact[i]:round()):abs():max():item() == 0
      if whole and gap == 0 or not whole and gap > 1e-5 then agreed = agreed + 1 else print("FAIL " .. what .. ": not rounded") end
    end
  end
end

convlua.manual_seed(3)
for _, precision in ipairs { "float32", "bf16", "bf16-full", "f16" } do
  for _, case in ipairs(cases) do
    try(precision, case, convlua.randn)
    try(precision, case, function(shape) return convlua.randint(-1, 1, shape):cast "float32" end)
  end
end

--- Inference in one pass, where the filter times the norm's factor, the residual and the shift are rounded.
local function infer(precision)
  local nn = convlua.nn
  convlua.manual_seed(4)
  local conv, norm = nn.Conv2D { filter_shape = { 3, 3, 4, 8 }, padding = "same" },
    nn.BatchNorm { feature_count = 8, activation = "relu" }
  local x, residual = convlua.randn { 2, 5, 5, 4 }, convlua.randn { 2, 5, 5, 8 }
  local model = nn.Sequential { conv, norm }
  model:eval()
  convlua.no_grad(function() norm.offset:copy_(convlua.randn { 8 }) end)
  model:to "float64"
  local exact = convlua.no_grad(nn.conv_norm, conv, norm, x:cast "float64", residual:cast "float64")
  model:to "float32":to "cuda"
  local found = autograd.precision(precision, convlua.no_grad, nn.conv_norm, conv, norm, x:to "cuda", residual:to "cuda")
  local gap = (found:to "cpu":cast "float64" - exact):abs():max():item()
  check(("inference in %s"):format(precision), found, exact, 4 * unit[stored[precision]])
  compared = compared + 1
  if gap > 1e-5 then agreed = agreed + 1 else print(("FAIL inference in %s: not rounded"):format(precision)) end
end
infer "bf16-full"
infer "f16"

--- Trains in float16; -> the loss scale at the end, updates made, bytes of the weights.
local function fit(capture)
  local nn = convlua.nn
  convlua.manual_seed(9)
  local model = nn.Sequential { nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, padding = "same" }, nn.Flatten {},
    nn.Dense { input_size = 64, output_size = 3 } }
  local batches = {}
  for i = 1, 30 do batches[i] = { convlua.randn { 4, 4, 4, 2 }, convlua.randint(1, 3, { 4 }) } end
  model:to "cuda"
  local loop = convlua.train.Loop { training = batches, precision = "f16", loss_scale = { initial = 2 ^ 30 },
    optimizer = convlua.optim.SGD(model, { learning_rate = 0.01 }), loss = nn.softmax_cross_entropy, capture = capture }
  loop:fit(model, { epochs = 1, device = "cuda" })
  local bytes = {}
  for _, w in model:named_parameters() do bytes[#bytes + 1] = w:to "cpu":to_bytes() end
  return loop.scaler.scale, loop.step_count, table.concat(bytes)
end

local scale, updates, weights = fit(false)
local their_scale, their_updates, their_weights = fit(true)
for what, holds in pairs {
  ["the scale came down"] = scale < 2 ^ 30 and scale > 2 ^ 8,
  ["and every other batch updated"] = updates == 30 - math.floor(math.log(2 ^ 30 / scale, 2) + 0.5),
  ["captured steps do the same"] = scale == their_scale and updates == their_updates and weights == their_weights,
} do
  compared = compared + 1
  if holds then agreed = agreed + 1 else print(("FAIL %s: scale %g, %d updates"):format(what, scale, updates)) end
end
print(("%d of %d"):format(agreed, compared))
os.exit(agreed == compared and compared > 0)
