--- How fast a device is: matrix products, the convolutions of ResNet18, its training step.
-- Each is run once to warm up, then again and again for half a second, in which the device is waited for at
-- the end only; the mean counts. GFLOPS are those of the sums of products, however they are computed.

local convlua = require "convlua"
local clock = require("convlua.core").system.clock
local nn, optim = convlua.nn, convlua.optim

-- {map, channels in, channels out, filter, stride} of ResNet18 on 32 x 32 pixels with the 3x3 stem, then
-- the 7x7 stem on those.
local shapes = {
  { 32, 3, 64, 3, 1 }, { 32, 64, 64, 3, 1 }, { 32, 64, 128, 3, 2 }, { 32, 64, 128, 1, 2 },
  { 16, 128, 128, 3, 1 }, { 16, 128, 256, 3, 2 }, { 8, 256, 256, 3, 1 }, { 8, 256, 512, 3, 2 },
  { 4, 512, 512, 3, 1 }, { 32, 3, 64, 7, 2 },
}

-- What is measured, and for how long; `small` is for machines that only imitate a device.
local full = { seconds = 0.5, products = { 1024, 4096 }, batch_size = 128, width = 64, narrower = 1 }
local small = { seconds = 0, products = { 32 }, batch_size = 1, width = 8, narrower = 16 }

--- Seconds that f takes on the device.
local function seconds_of(f, device, at_least)
  local function several(n)
    local start = clock()
    for _ = 1, n do convlua.scope(f) end
    if device ~= "cpu" then convlua.device.sync() end
    return clock() - start
  end
  local first = several(1)
  if at_least == 0 then return first end
  local once = several(1)
  local n = math.max(1, math.min(1000, math.ceil(at_least / once)))
  return several(n) / n
end

local function line(name, text, ...)
  print(("  %-34s %s"):format(name, text:format(...)))
end

local function gflops(operations, seconds)
  return ("%9.3f ms %9.1f GFLOPS"):format(seconds * 1e3, operations / seconds / 1e9)
end

local function product(o, device, n, note)
  local a, b = convlua.randn { n, n }:to(device), convlua.randn { n, n }:to(device)
  local t = seconds_of(function() a:matmul(b) end, device, o.seconds)
  line(("matmul %d^3, %s"):format(n, note), "%s", gflops(2 * n ^ 3, t))
end

local function convolution(o, device, shape)
  local size, c, k, filter, stride = table.unpack(shape)
  if c > 3 then c = c // o.narrower end
  k = k // o.narrower
  local x = convlua.randn { o.batch_size, size, size, c }:to(device)
  local w = convlua.randn { filter, filter, c, k }:to(device)
  local options = { strides = stride, padding = "same" }
  local y = convlua.conv2d(x, w, nil, options)
  local gy = convlua.randn(y.shape):to(device)
  local operations = 2 * y:numel() * c * filter ^ 2
  local forward = seconds_of(function()
    convlua.no_grad(function() convlua.conv2d(x, w, nil, options) end)
  end, device, o.seconds / 2)
  x.requires_grad, w.requires_grad = true, true
  local both = seconds_of(function()
    convlua.conv2d(x, w, nil, options):backward(gy)
    x.grad, w.grad = nil, nil
  end, device, o.seconds / 2)
  local name = ("conv %dx%d/%d, %d to %d, %dx%d map"):format(filter, filter, stride, c, k, size, size)
  line(name, "%s   with gradients %s", gflops(operations, forward), gflops(3 * operations, both))
end

local function training_step(o, device, stem, note)
  local resnet = require "models.resnet"
  local model = resnet.ResNet18 { class_count = 10, stem = stem, width = o.width }
  model:to(device)
  local sgd = optim.SGD(model, { learning_rate = 0.01, momentum = 0.9 })
  local x = convlua.randn { o.batch_size, 32, 32, 3 }:to(device)
  local labels = convlua.randint(1, 10, { o.batch_size }):to(device)
  local t = seconds_of(function()
    sgd:zero_grad()
    nn.softmax_cross_entropy(model(x), labels):backward()
    sgd:step()
  end, device, 4 * o.seconds)
  line(("ResNet18 step, %s stem, %s"):format(stem == "cifar" and "3x3" or "7x7/2", note),
    "%9.3f ms %9.0f images/s", t * 1e3, o.batch_size / t)
end

--- Prints the rates of a device.
--   device: its full name
--   is_small: with sizes that a simulator can do
return function(device, is_small)
  local o = is_small and small or full
  local function each(note)
    for _, n in ipairs(o.products) do product(o, device, n, note) end
    for _, shape in ipairs(shapes) do convlua.scope(convolution, o, device, shape) end
    for _, stem in ipairs { "imagenet", "cifar" } do training_step(o, device, stem, note) end
  end
  print(("rates, batches of %d, 32x32 pixels, float32:"):format(o.batch_size))
  each "float32"
  if device == "cpu" then return end
  print "the same with TF32:"
  local was = convlua.device.tf32(device, true)
  local ok, problem = pcall(each, "TF32")
  convlua.device.tf32(device, was)
  if not ok then error(problem, 0) end
end
