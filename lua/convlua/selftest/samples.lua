--- Every sample of every op, computed in two ways that must agree: the results, or that it is an error, and
-- the gradients, by kernels and by ops.
--
--   on a device   the CPU's results, in every element type: integers must be equal, float32 within 2e-5 and
--                 float64 within 1e-11 of max(1, |value|), halves within two of their last places. Sums are
--                 made in another order, and the functions of a GPU's library end in other bits.
--   on the CPU    float32 against float64, from the same numbers, within the same.

local convlua = require "convlua"
local grad = require("convlua.core").autograd.grad

local samples = {}

samples.tolerance = { float32 = 2e-5, float64 = 1e-11, bfloat16 = 2 ^ -6, float16 = 2 ^ -9 }
samples.dtypes = { "float32", "float64", "bfloat16", "float16", "int32", "int64", "uint8", "bool" }

local tolerance = samples.tolerance
local makers = { "rand", "randn", "zeros", "ones", "full", "tensor", "arange", "eye" }
local visible -- what a sample sees besides: every op, internal ones too

local function environment_of(place, dtype, leaves)
  if not visible then
    visible = setmetatable({}, { __index = convlua })
    for _, op in ipairs(convlua.ops()) do visible[op.name] = op.call end
  end
  local environment = setmetatable({}, { __index = visible })
  for _, name in ipairs(makers) do
    environment[name] = function(...) return convlua[name](...):to(place.device) end
  end
  for _, name in ipairs { "rand", "randn" } do
    environment[name] = function(...)
      local x = convlua[name](...)
      if not tolerance[dtype] then x = (x * 4):floor() end
      x = x:cast(dtype)
      if place.dtype then x = x:cast(place.dtype) end
      x = x:to(place.device)
      if tolerance[dtype] then x.requires_grad = true end
      leaves[#leaves + 1] = x
      return x
    end
  end
  return environment
end

--- The sample with its tensors at a place; random ones are made in dtype, and require gradients when it has
-- any. -> result, leaves
local function run(sample, dtype, place)
  local leaves = {}
  convlua.manual_seed(11)
  local f = assert(load("return " .. sample, "=" .. sample, "t", environment_of(place, dtype, leaves)))
  return f(), leaves
end

local function values(x) return x:detach():to("cpu"):reshape(-1):to_table() end

--- nil, or how two lists of numbers differ.
local function difference(ours, theirs, allowed, here, there)
  if #ours ~= #theirs then return ("%d elements instead of %d"):format(#theirs, #ours) end
  for i, a in ipairs(ours) do
    local b = theirs[i]
    local same = a == b or (a ~= a and b ~= b)
    if not same and (not allowed or type(a) ~= "number"
        or not (math.abs(a - b) <= allowed * math.max(1, math.abs(a)))) then
      return ("element %d is %.9g %s and %.9g %s"):format(
        i, tonumber(a) or (a and 1 or 0), here.name, tonumber(b) or (b and 1 or 0), there.name)
    end
  end
end

local function compare(what, ours, theirs, here, there)
  if not here.dtype and ours.dtype ~= theirs.dtype then return what .. " is " .. theirs.dtype end
  if table.concat(ours.shape, ",") ~= table.concat(theirs.shape, ",") then
    return what .. " has another shape"
  end
  if theirs.device ~= there.device then return what .. " is on " .. theirs.device end
  local found = difference(values(ours), values(theirs), tolerance[theirs.dtype], here, there)
  return found and what .. ": " .. found
end

local function weights(y)
  local list = {}
  for i = 1, y:numel() do list[i] = math.sin(i * 1.7) + 1.3 end
  return convlua.tensor(list, { dtype = y.dtype }):reshape(y.shape):to(y.device)
end

local function gradients(y, leaves, how) return grad((y * weights(y)):sum(), leaves, how) end

local function compare_gradients(what, ours, our_leaves, theirs, their_leaves, how, here, there)
  local ok, a = pcall(gradients, ours, our_leaves, how)
  local same, b = pcall(gradients, theirs, their_leaves, how)
  if not ok then return same and ("%s: refused %s"):format(what, here.name) or nil end
  if not same then return what .. ": " .. tostring(b) end
  for i in ipairs(our_leaves) do
    if (not a[i]) ~= (not b[i]) then return what .. " is there on one side only" end
    local found = a[i] and compare(what .. " " .. i, a[i], b[i], here, there)
    if found then return found end
  end
end

--- nil when both places agree, else how they differ; and the op that has no kernel there, if that is why.
--   here, there: { name = "on the CPU", device = "cpu" }; with dtype, random tensors are cast to it
function samples.check(sample, dtype, here, there)
  local ok, ours, our_leaves = pcall(run, sample, dtype, here)
  local same, theirs, their_leaves = pcall(run, sample, dtype, there)
  if not ok then return same and ("refused %s: %s"):format(here.name, ours) or nil end
  if not same then
    return tostring(theirs), tostring(theirs):match "'([%w_]+)' has no kernel for [%w]+ on device"
  end
  if not convlua.is_tensor(ours) then return nil end
  local found = compare("the result", ours, theirs, here, there)
  if found or not ours.requires_grad or not tolerance[theirs.dtype] then return found end
  return compare_gradients("the gradient", ours, our_leaves, theirs, their_leaves, { retain_graph = true },
      here, there)
    or compare_gradients("the gradient by ops", ours, our_leaves, theirs, their_leaves,
      { create_graph = true }, here, there)
end

--- Checks all samples on a device; those of the CPU against float64.
--   device: its full name
--   wanted(op, dtype): whether these are checked
--   tell(op, sample, dtype, problem, missing): of each; see samples.check
function samples.all(device, wanted, tell)
  local on_cpu = device == "cpu"
  local here = { name = on_cpu and "in float64" or "on the CPU", device = "cpu",
    dtype = on_cpu and "float64" or nil }
  local there = { name = "on " .. device, device = device }
  for _, op in ipairs(convlua.ops()) do
    for _, sample in ipairs(op.call and op.samples or {}) do
      for _, dtype in ipairs(samples.dtypes) do
        if (not on_cpu or dtype == "float32") and wanted(op.name, dtype) then
          convlua.scope(function()
            tell(op.name, sample, dtype, samples.check(sample, dtype, here, there))
          end)
        end
      end
    end
  end
end

return samples
