-- usage: convlua spec/cuda/rest.lua
--
-- What no sample and no training of models makes a device do: blocks full of every op, every option of the optimizers, labels of
-- every integer type and wrong ones, second derivatives of pooling, reductions that several warps share,
-- NaN among the numbers, casts of every type to every other. CPU and device agree within 2e-5 of
-- max(1, |value|). Prints "N of N"; status 1 unless all agree.

local convlua = require "convlua"
local grad = require("convlua.core").autograd.grad
local nn, optim = convlua.nn, convlua.optim

local done, agreed = 0, 0

local function compare(what, ours, theirs)
  local a, b = ours:detach():reshape(-1):to_table(), theirs:detach():to "cpu":reshape(-1):to_table()
  local problem = #a ~= #b and "another size"
  for i = 1, problem and 0 or #a do
    local same = a[i] == b[i] or (a[i] ~= a[i] and b[i] ~= b[i])
    if not same and not (type(a[i]) == "number"
        and math.abs(a[i] - b[i]) <= 2e-5 * math.max(1, math.abs(a[i]))) then
      problem = ("element %d is %s on the CPU, %s on the device"):format(i, a[i], b[i])
      break
    end
  end
  done = done + 1
  if problem then print(("FAIL %s: %s"):format(what, problem)) else agreed = agreed + 1 end
end

--- f(device) on both. It may be an error where `may_refuse` says so, but then on both.
local function check(what, f, may_refuse)
  convlua.scope(function()
    convlua.manual_seed(3)
    local ok, ours = pcall(f, "cpu")
    convlua.manual_seed(3)
    local same, theirs = pcall(f, "cuda")
    if ok and same then return compare(what, ours, theirs) end
    done = done + 1
    if ok == same and may_refuse then agreed = agreed + 1
    else print(("FAIL %s: %s"):format(what, tostring(same and ours or theirs))) end
  end)
end

--- Three steps of an optimizer on parameters of several sizes; all of them afterwards.
local function steps(make, options)
  return function(device)
    local model = nn.Sequential { nn.Dense { input_size = 130, output_size = 67 }, nn.Function(nn.relu),
      nn.Dense { input_size = 67, output_size = 3 } }
    local x, labels = convlua.randn { 5, 130 }:to(device), convlua.tensor({ 1, 3, 2, 2, 1 }):cast "int64"
    model:to(device)
    local optimizer = make(model, options)
    for _ = 1, 3 do
      optimizer:zero_grad()
      nn.softmax_cross_entropy(model(x), labels:to(device)):backward()
      optimizer:step()
    end
    local all = {}
    for _, w in model:named_parameters() do all[#all + 1] = w:detach():reshape(-1) end
    return convlua.concat(all, 1)
  end
end

local settings = {
  SGD = { {}, { momentum = 0.9 }, { momentum = 0.9, nesterov = true }, { weight_decay = 0.01 } },
  Adam = { {}, { amsgrad = true }, { weight_decay = 0.01, epsilon = 1e-6 } },
  AdamW = { {}, { amsgrad = true, weight_decay = 0.1 } },
}
for name, list in pairs(settings) do
  for i, options in ipairs(list) do
    for _, norm in ipairs { false, 0.01, 1000 } do
      local o = { learning_rate = 0.01, clip_norm = norm or nil }
      for key, value in pairs(options) do o[key] = value end
      check(("%s, options %d, norm %s"):format(name, i, norm), steps(optim[name], o))
    end
  end
end

for _, dtype in ipairs { "uint8", "int32", "int64" } do
  for _, classes in ipairs { 3, 300 } do
    for _, wrong in ipairs { false, true } do
      check(("labels of %s, %d classes, wrong: %s"):format(dtype, classes, wrong), function(device)
        local labels = convlua.tensor { 1, wrong and classes + 1 or 2, 3 }
        labels = classes == 300 and dtype == "uint8" and wrong and convlua.tensor { 1, 0, 3 } or labels
        return nn.softmax_cross_entropy(convlua.randn { 3, classes }:to(device), labels:cast(dtype):to(device))
      end, wrong)
    end
  end
  check("positions of " .. dtype, function(device)
    return convlua.randn { 4, 3 }:to(device):index_select(convlua.tensor { 3, 1 }:cast(dtype):to(device), { axis = 1 })
  end)
end

for axes, shape in ipairs { { 2, 9, 3 }, { 2, 7, 8, 3 }, { 1, 4, 5, 6, 3 } } do
  for _, kind in ipairs { "max", "avg" } do
    check(("second derivative of %s_pool%dd"):format(kind, axes), function(device)
      local x = convlua.randn(shape):to(device)
      x.requires_grad = true
      local y = convlua[("%s_pool%dd"):format(kind, axes)](x, { pool_size = 2 })
      local g = grad((y * y * y):sum(), { x }, { create_graph = true })[1]
      return grad((g * g):sum(), { x }, { retain_graph = true })[1]
    end)
  end
end

for _, n in ipairs { 1, 3000, 70000 } do
  for _, op in ipairs { "any", "all", "argmax", "argmin", "max", "min" } do
    for _, fill in ipairs { 0, 1, 0 / 0 } do
      check(("%s of %d, one is %s"):format(op, n, fill), function(device)
        local x = convlua.full({ n }, 0.5)
        x:slice(1, n - n // 3, n - n // 3):copy_(convlua.full({ 1 }, fill))
        local y = x:to(device)
        return y[op](y)
      end)
    end
  end
end

-- Gradients of reductions, by kernels and by ops; of axes that are apart.
local function reduced(op, shape, options, how)
  return function(device)
    local x = (convlua.randn(shape) + 0.5):to(device)
    x.requires_grad = true
    return grad((x[op](x, options) * 2):sum(), { x }, how)[1]
  end
end
for _, op in ipairs { "prod", "max", "min", "sum" } do
  for _, how in ipairs { "retain_graph", "create_graph" } do
    check(("gradient of %s, %s"):format(op, how), reduced(op, { 3000 }, nil, { [how] = true }))
    if op == "sum" or op == "prod" then
      check(("gradient of %s of two axes, %s"):format(op, how),
        reduced(op, { 3, 4, 5 }, { axis = { 1, 3 } }, { [how] = true }))
    end
  end
end

for _, op in ipairs { "pow", "mod", "div", "mul", "maximum" } do
  for _, dtype in ipairs { "float32", "float64", "float16", "int32", "int64", "uint8" } do
    check(("%s of 5000 in %s"):format(op, dtype), function(device)
      local x, y = convlua.rand { 5000 } * 3 + 1, convlua.rand { 5000 } * 3 + 1
      return convlua[op](x:cast(dtype):to(device), y:cast(dtype):to(device)):cast "float32"
    end)
  end
end

for _, dtype in ipairs { "int32", "int64", "uint8" } do
  check("clamp of 5000 in " .. dtype, function(device)
    return (convlua.rand { 5000 } * 9):cast(dtype):to(device):clamp({ min = 2, max = 5 })
  end)
end

-- Every op that one tensor is enough for, at more elements than a block has; others are refused by both.
for _, op in ipairs(convlua.ops()) do
  for _, dtype in ipairs { "float32", "float64", "float16" } do
    if op.call then
      check(("%s of 1100 in %s"):format(op.name, dtype), function(device)
        local y = op.call((convlua.rand { 1100 } + 0.25):cast(dtype):to(device))
        return dtype == "float16" and y:cast "float32":mul(0.01) or y
      end, true)
    end
  end
end

-- More outputs than one sum of the filter's gradient takes.
check("gradients of a convolution of a large map", function(device)
  local x, w = convlua.randn { 2, 65, 66, 3 }:to(device), convlua.randn { 3, 3, 3, 5 }:to(device)
  x.requires_grad, w.requires_grad = true, true
  local y = x:conv2d(w, nil, { padding = "same" })
  local g = grad((y / y:numel()):sum(), { x, w })
  return convlua.concat({ g[1]:reshape(-1), g[2]:reshape(-1) }, 1)
end)

-- Inference: normalization, residual and ReLU with the convolution before them. A residual that begins anywhere.
local fused = {
  { { filter_shape = { 3, 3, 3, 8 }, padding = "same" }, { 4, 7, 6, 3 } },
  { { filter_shape = { 3, 3, 8, 20 }, strides = 2, padding = "same", use_bias = false }, { 2, 8, 8, 8 } },
  { { filter_shape = { 1, 1, 33, 40 }, strides = 2 }, { 1, 5, 5, 33 } },
  { { filter_shape = { 2, 2, 3, 10 }, groups = 2, padding = 1 }, { 2, 6, 6, 6 } },
}
local function shifted(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return function(device) return convlua.randn { n + 1 }:to(device):slice(1, 2, n + 1):reshape(shape) end
end
for i, case in ipairs(fused) do
  for _, activation in ipairs { "identity", "relu" } do
    for _, with in ipairs { "nothing", "a residual", "ReLU alone" } do
      for _, precision in ipairs { "float32", "float64" } do
        check(("%s, convolution %d, %s, with %s"):format(precision, i, activation, with), function(device)
          local options = { activation = with == "ReLU alone" and activation or nil }
          for key, value in pairs(case[1]) do options[key] = value end
          local conv = nn.Conv2D(options)
          local norm = nn.BatchNorm { feature_count = options.filter_shape[4], activation = activation }
          for _, p in ipairs { norm.scale, norm.offset, norm.running_mean } do
            convlua.no_grad(function() p:copy_(convlua.randn(p.shape)) end)
          end
          local model = nn.Sequential { conv, norm }
          model:eval()
          model:to(precision):to(device)
          local x = convlua.randn(case[2]):to(precision):to(device)
          return convlua.no_grad(function()
            local between = conv(x)
            if with == "ReLU alone" then return between end
            local residual = with == "a residual" and shifted(between.shape)(device):to(precision) or nil
            return nn.conv_norm(conv, norm, x, residual)
          end)
        end)
      end
    end
  end
end

local types = { "float32", "float64", "bfloat16", "float16", "int32", "int64", "uint8", "bool" }
for _, from in ipairs(types) do
  for _, to in ipairs(types) do
    check(("%s to %s"):format(from, to), function(device)
      return (convlua.arange(0, 100) * 1.25):cast(from):to(device):cast(to):cast "float32"
    end)
  end
end
for _, x in ipairs { 65520, 1e30, 0 / 0, -1e30, 6e-8 } do
  check(("%g to float16"):format(x), function(device)
    return convlua.full({ 3 }, x):to(device):cast "float16":cast "float32"
  end)
end

print(("%d of %d"):format(agreed, done))
os.exit(agreed == done and done > 0)
