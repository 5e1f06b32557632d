-- usage: convlua spec/cuda/ops.lua [--op NAME] [--dtype NAME] [--verbose]
--
-- Every sample of every op on the CPU and on the first CUDA device, as `convlua selftest cuda` compares
-- them (lua/convlua/selftest/samples.lua tells what must agree).
-- Prints a line for each failure, the ops without a kernel, and last "N of N"; status 1 unless all agree.

local samples = require "convlua.selftest.samples"

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

local function wanted(op, dtype)
  return (only.op or op) == op and (only.dtype or dtype) == dtype
end

local done, agreed, missing = 0, 0, {}
samples.all(require("convlua").device.get "cuda", wanted, function(_, sample, dtype, problem, without)
  done = done + 1
  if problem then
    print(("FAIL %s in %s: %s"):format(sample, dtype, problem))
    if without and not missing[without] then
      missing[without] = true
      table.insert(missing, without)
    end
  else
    agreed = agreed + 1
    if verbose then print(("ok   %s in %s"):format(sample, dtype)) end
  end
end)

table.sort(missing)
print("without a kernel: " .. (missing[1] and table.concat(missing, " ") or "none"))
print(("%d of %d"):format(agreed, done))
os.exit(agreed == done and done > 0)
