-- usage: convlua spec/cuda/ops.lua [--op NAME] [--dtype NAME] [--verbose]
--
-- Every sample of every op, on the CPU and on the first CUDA device, in every element type: both
-- give the same result, or the same error; gradients by kernels and by ops agree too. Integers must be
-- equal, float32 within 2e-5 and float64 within 1e-11 of max(1, |value|), halves
-- within two of their last places: sums are made in another
-- order, and the functions of a GPU's library end in other bits.
--
-- Prints a line for each failure, the ops without a kernel, and last "N of N"; status 1 unless all agree.

local convlua = require "convlua"
local grad = require("convlua.core").autograd.grad

local tolerance = { float32 = 2e-5, float64 = 1e-11, bfloat16 = 2 ^ -6, float16 = 2 ^ -9 }
local dtypes = { "float32", "float64", "bfloat16", "float16", "int32", "int64", "uint8", "bool" }

local only, verbose = {}, false
do
  local i = 1
  while arg[i] do
    if arg[i] == "--verbose" then
      verbose = true
    else
      only[assert(arg[i]:match "^%-%-(%a+)$", arg[i])] = assert(arg[i + 1])
      i = i + 1
    end
    i = i + 1
  end
end

local device = convlua.device.get "cuda"
local makers = { "rand", "randn", "zeros", "ones", "full", "tensor", "arange", "eye" }
local visible = setmetatable({}, { __index = convlua })
for _, op in ipairs(convlua.ops()) do visible[op.name] = op.call end

-- The sample with its tensors on `where`; random ones of type dtype, with gradients when it has any.
-- -> result, leaves
local function run(sample, dtype, where)
  local leaves = {}
  local environment = setmetatable({}, { __index = visible })
  for _, name in ipairs(makers) do
    environment[name] = function(...) return convlua[name](...):to(where) end
  end
  for _, name in ipairs { "rand", "randn" } do
    environment[name] = function(...)
      local x = convlua[name](...)
      if not tolerance[dtype] then x = (x * 4):floor() end
      x = x:cast(dtype):to(where)
      if tolerance[dtype] then x.requires_grad = true end
      leaves[#leaves + 1] = x
      return x
    end
  end
  convlua.manual_seed(11)
  return assert(load("return " .. sample, "=" .. sample, "t", environment))(), leaves
end

local function values(x) return x:detach():to("cpu"):reshape(-1):to_table() end

-- nil, or how two lists of numbers differ.
local function difference(ours, theirs, allowed)
  if #ours ~= #theirs then return ("%d elements instead of %d"):format(#theirs, #ours) end
  for i, a in ipairs(ours) do
    local b = theirs[i]
    local same = a == b or (a ~= a and b ~= b)
    if not same and (not allowed or type(a) ~= "number"
        or not (math.abs(a - b) <= allowed * math.max(1, math.abs(a)))) then
      return ("element %d is %.9g on the CPU and %.9g on the device"):format(
        i, tonumber(a) or (a and 1 or 0), tonumber(b) or (b and 1 or 0))
    end
  end
end

local function compare(what, ours, theirs)
  if ours.dtype ~= theirs.dtype then return what .. " is " .. theirs.dtype end
  if table.concat(ours.shape, ",") ~= table.concat(theirs.shape, ",") then
    return what .. " has another shape"
  end
  if theirs.device ~= device then return what .. " is on " .. theirs.device end
  local found = difference(values(ours), values(theirs), tolerance[ours.dtype])
  return found and what .. ": " .. found
end

local function weights(y)
  local list = {}
  for i = 1, y:numel() do list[i] = math.sin(i * 1.7) + 1.3 end
  return convlua.tensor(list, { dtype = y.dtype }):reshape(y.shape):to(y.device)
end

local function gradients(y, leaves, how) return grad((y * weights(y)):sum(), leaves, how) end

local function compare_gradients(what, ours, our_leaves, theirs, their_leaves, how)
  local ok, a = pcall(gradients, ours, our_leaves, how)
  local same, b = pcall(gradients, theirs, their_leaves, how)
  if not ok then return same and what .. ": the CPU refuses it" or nil end
  if not same then return what .. ": " .. tostring(b) end
  for i in ipairs(our_leaves) do
    if (not a[i]) ~= (not b[i]) then return what .. " is there on one side only" end
    local found = a[i] and compare(what .. " " .. i, a[i], b[i])
    if found then return found end
  end
end

local missing = {}

-- nil when both sides agree.
local function check(sample, dtype)
  local ok, ours, our_leaves = pcall(run, sample, dtype, "cpu")
  local same, theirs, their_leaves = pcall(run, sample, dtype, device)
  if not same then
    local name = tostring(theirs):match "'([%w_]+)' has no kernel for [%w]+ on device"
    if name and ok then missing[name] = true end
  end
  if not ok then return same and "the CPU refuses it: " .. tostring(ours) or nil end
  if not same then return tostring(theirs) end
  if not convlua.is_tensor(ours) then return nil end
  local found = compare("the result", ours, theirs)
  if found or not ours.requires_grad or not tolerance[ours.dtype] then return found end
  return compare_gradients("the gradient", ours, our_leaves, theirs, their_leaves,
      { retain_graph = true })
    or compare_gradients("the gradient by ops", ours, our_leaves, theirs, their_leaves,
      { create_graph = true })
end

local done, agreed = 0, 0
for _, op in ipairs(convlua.ops()) do
  if op.call and (only.op or op.name) == op.name then
    for _, sample in ipairs(op.samples) do
      for _, dtype in ipairs(dtypes) do
        if (only.dtype or dtype) == dtype then
          local problem = check(sample, dtype)
          done = done + 1
          if problem then
            print(("FAIL %s in %s: %s"):format(sample, dtype, problem))
          else
            agreed = agreed + 1
            if verbose then print(("ok   %s in %s"):format(sample, dtype)) end
          end
        end
      end
    end
  end
end
local names = {}
for name in pairs(missing) do names[#names + 1] = name end
table.sort(names)
print("without a kernel: " .. (names[1] and table.concat(names, " ") or "none"))
print(("%d of %d"):format(agreed, done))
os.exit(agreed == done and done > 0)
