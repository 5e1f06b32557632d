-- Runs every sample of every op, forward and backward, and some of layers and optimizers, with 0, 1,
-- 2, ... allocations allowed, Lua's and the core's together, until it succeeds. Prints "op<tab>sample<tab>verdict" for each.
-- Outside of busted: each failure collects all garbage, which takes the longer the more is live.
-- Arguments: part K of N.

local convlua = require "convlua"
local memory = convlua.memory
local part, parts = tonumber(arg[1] or 1), tonumber(arg[2] or 1)
local most = 5000 -- a sample that needs more allocations than this does not end

-- What a sample may call: Lua's and the module's functions, the ops not shown to users too, and
-- random tensors that want gradients.
local environment = setmetatable({}, {
  __index = function(_, name) return convlua[name] or _G[name] end,
})
for _, op in ipairs(convlua.ops()) do environment[op.name] = op.call end
for _, name in ipairs { "rand", "randn" } do
  environment[name] = function(...)
    local x = convlua[name](...)
    x.requires_grad = true
    return x
  end
end

-- The sample's call, and then the gradients of what in it wants some.
local function compile(sample)
  local call = assert(load("return " .. sample, "=sample", "t", environment))
  return function()
    local y = call()
    if convlua.is_tensor(y) and y.requires_grad then y:sum():backward() end
  end
end

-- Leaves Lua with call frames in store. Lua drops a finalizer that it finds no memory to call,
-- which would look like a leak of ours.
local function descend(depth)
  if depth > 0 then return 1 + descend(depth - 1) end
  return 0
end

-- Bytes that are held after collecting; a second round, for what finalizers let go, only when there
-- are more than expected.
local function live(expected)
  collectgarbage()
  if memory.live() ~= expected then collectgarbage() end
  return memory.live()
end

local function verdict(sample)
  local run = compile(sample)
  local ok, message = pcall(run) -- what is made once and kept is made now
  if not ok then return "fails with all the memory there is: " .. message end
  local before = live()
  for n = 0, most do
    descend(200)
    ok, message = memory.failing(n, run)
    local after = live(before)
    if after ~= before then
      return ("allocation %d failed and left %d bytes"):format(n + 1, after - before)
    end
    if ok then return "ok" end
    if not tostring(message):find "memory" then
      return ("allocation %d failed with the error: %s"):format(n + 1, message)
    end
  end
  return ("still failing after %d allocations"):format(most)
end

local layer_samples = {
  Conv2D = "layer.Conv2D{filter_shape = {2, 2, 1, 2}, activation = 'relu'}(randn{1, 3, 3, 1})",
  TransposedConv1D = "layer.TransposedConv1D{filter_shape = {2, 2, 1}}(randn{1, 3, 1})",
  DepthwiseConv2D = "layer.DepthwiseConv2D{filter_shape = {2, 2, 2, 2}}(randn{1, 3, 3, 2})",
  Dense = "layer.Dense{input_size = 2, output_size = 3, weight_initializer = 'orthogonal'}(randn{2, 2})",
  ["Dense and ReLU"] = "layer.Dense{input_size = 2, output_size = 3, activation = 'relu'}(randn{4, 2})",
  ["Conv2D and MaxPool2D"] = "conv_pool(layer.Conv2D{filter_shape = {2, 2, 1, 2}, activation = 'relu'}, "
    .. "layer.MaxPool2D{}, randn{16, 3, 3, 1})",
  BatchNorm = "layer.BatchNorm{feature_count = 2, activation = 'tanh'}(randn{4, 2}, randn{4, 2})",
  MaxPool2D = "tostring(layer.MaxPool2D{padding = {{0, 1}, {1, 0}}}:multiply_adds{1, 4, 4, 1})",
  ZeroPadding2D = "layer.ZeroPadding2D{padding = 1}(randn{1, 2, 2, 1}):sum()",
  Reshape = "layer.Reshape{shape = {-1, 2}}:to('float64')(randn{1, 4})",
  options = "layer.Conv1D{filter_shape = {2, 1, 1}, padding = {{1, 0}}}.options",
  slots = "layer.BatchNorm{feature_count = 2}:to('float64'):parameters()[1][2]:sum()",
}
local optimizer_sample = [[
  (function()
    local w, v = randn{3}, randn{2}
    local o = optimizer{kind = '%s', parameters = {w}, clip_norm = 1, groups = {{parameters = {v}}}}
    local loss = (w * w):sum() + v:sum()
    loss:backward()
    o:step()
    o:load_state(o:state())
    o.learning_rate = 1
    return tostring(o)
  end)()]]

environment.layer, environment.conv_pool = {}, convlua.nn.conv_pool
for _, layer in ipairs(environment.layers()) do environment.layer[layer.name] = layer.call end

local samples = {}
for _, op in ipairs(convlua.ops()) do
  for _, sample in ipairs(op.samples) do samples[#samples + 1] = { op.name, sample } end
end
for name, sample in pairs(layer_samples) do samples[#samples + 1] = { name, sample } end
for _, kind in ipairs { "SGD", "AdamW" } do
  samples[#samples + 1] = { kind, (optimizer_sample:format(kind):gsub("%s+", " ")) }
end
table.sort(samples, function(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return a[2] < b[2]
end)

for i, sample in ipairs(samples) do
  if i % parts == part - 1 then
    print(sample[1] .. "\t" .. sample[2] .. "\t" .. verdict(sample[2]):gsub("%s+", " "))
  end
end
print "end"
