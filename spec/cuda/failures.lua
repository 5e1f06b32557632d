-- usage: convlua spec/cuda/failures.lua [PRECISION]
--
-- Each call of CUDA, cuBLAS and cuDNN in a small training step fails once. That is a Lua error, or the
-- step does without what it asked for; the next step then gives the same loss as if nothing had been, and
-- nothing is left behind. Of calls made very often not each is tried: see `chosen`.
-- Calls that only the first step makes, of a device that is being opened, fail in programs of their own.
--
-- Prints "N of N" failures; status 1 unless each went well.

local simulator = assert(package.loadlib(os.getenv "CUDASIM" .. "/cudasim.so", "luaopen_cudasim"))()
local kinds = { "device", "pinned", "stream", "event", "graph", "cublas", "cudnn", "descriptor" }

local precision = arg[1] or "float32" -- of products
local one_step = arg[2] == "--step" -- in a program of its own: one call fails, by CVSIM_FAIL

local convlua = require "convlua"
local nn, optim = convlua.nn, convlua.optim

--- A step from the same weights, images and random numbers each time. Returns its loss and a sum over
--- the new weights and what the first layers then give in inference.
local function step()
  convlua.manual_seed(5)
  local conv, norm = nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, padding = "same" }, nn.BatchNorm { feature_count = 4 }
  local net = nn.Sequential {
    conv, norm,
    nn.Function(nn.relu), nn.MaxPool2D { pool_size = 2, strides = 2 }, nn.Flatten {}, nn.Dropout { rate = 0.5 },
    nn.Dense { input_size = 64, output_size = 3 } }
  net:to "cuda"
  local adam = optim.Adam(net, { learning_rate = 0.01 })
  local x, labels = convlua.randn { 2, 8, 8, 2 }:to "cuda", convlua.tensor({ 1, 3 }):cast("int64"):to "cuda"
  local loss = nn.softmax_cross_entropy(net(x), labels)
  loss:backward()
  adam:step()
  local sum = 0
  for _, w in net:named_parameters() do sum = sum + w:detach():sum():item() end
  net:eval()
  local y = convlua.no_grad(nn.conv_norm, conv, norm, x, convlua.zeros { 2, 8, 8, 4 }:to "cuda")
  return loss:item(), sum + y:sum():item()
end

--- Whether a step goes well, and what it gives; all that it made is gone afterwards.
local function try()
  local ok, loss, sum
  convlua.scope(function() ok, loss, sum = pcall(convlua.autograd.precision, precision, step) end)
  collectgarbage()
  collectgarbage()
  return ok, loss, sum
end

local function held()
  local list = { convlua.memory.live() }
  for i, kind in ipairs(kinds) do list[i + 1] = simulator.live(kind) end
  return list
end

local function difference(before, after)
  for i = 1, #before do
    if before[i] ~= after[i] then
      return ("%d instead of %d of %s are held"):format(after[i], before[i], kinds[i - 1] or "the core's bytes")
    end
  end
end

if one_step then
  local ok, loss, sum = try()
  local again, same_loss, same_sum = try()
  if not again then return print("the next step: " .. tostring(same_loss)) end
  if ok and (loss ~= same_loss or sum ~= same_sum) then return print "gave another result" end
  print(ok and "ok" or "ok, an error: " .. tostring(loss))
  os.exit(true)
end

--- Of n calls: all when they are few, else the first, the last and some between.
local function chosen(n)
  local list = {}
  for i = 1, n do
    if i <= 6 or i == n or i % math.ceil(n / 6) == 0 then list[#list + 1] = i end
  end
  return list
end

local tried, well = 0, 0

local function report(call, n, problem)
  tried = tried + 1
  if problem then print(("FAIL %s, call %d: %s"):format(call, n, problem)) else well = well + 1 end
end

simulator.count()
assert(try()) -- opens the device, makes its plans
local cold = simulator.calls()
try()
simulator.count()
local ok, loss, sum = try()
assert(ok, loss)
local warm = simulator.calls()

--- What gives something back, and cannot when it fails.
local function gives_back(call) return call:match "Free" or call:match "Destroy" end

local function fails_within(call, n)
  local before = held()
  simulator.fail(call, n)
  local went, why_or_loss, its_sum = try()
  simulator.fail()
  if went and (why_or_loss ~= loss or its_sum ~= sum) then return "gave another result" end
  if not went and type(why_or_loss) ~= "string" then return "the error is no text" end
  local again, same_loss, same_sum = try()
  if not again then return "the next step: " .. tostring(same_loss) end
  if same_loss ~= loss or same_sum ~= sum then return "the next step gave another result" end
  return not gives_back(call) and difference(before, held()) or nil
end

local function fails_alone(call, n)
  local command = ("CVSIM_FAIL=%s:%d %s spec/cuda/failures.lua %s --step 2>&1"):format(call, n,
    os.getenv "BUILD" .. "/convlua", precision)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  if not pipe:close() or not text:match "ok" then return (text:gsub("%s+$", "")) end
end

local names = {}
for call in pairs(cold) do
  if call ~= "execution" then names[#names + 1] = call end -- that one is for ever: see devices.lua
end
table.sort(names)
for _, call in ipairs(names) do
  for _, n in ipairs(chosen(warm[call] or 0)) do report(call, n, fails_within(call, n)) end
  if cold[call] > (warm[call] or 0) then
    for _, n in ipairs(chosen(cold[call])) do report(call, n, fails_alone(call, n)) end
  end
end
print(("%d of %d"):format(well, tried))
os.exit(well == tried and tried > 0)
