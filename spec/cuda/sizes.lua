-- usage: convlua spec/cuda/sizes.lua
--
-- Ops at the sizes where kernels break, on the CPU and on the first CUDA device, which must agree in every
-- bit: lua/convlua/selftest/sizes.lua. Prints "N of N"; status 1 unless all agree.

local done, agreed = 0, 0
require "convlua.selftest.sizes".all("cuda", true, function(what, problem)
  done = done + 1
  if problem then print(("FAIL %s: %s"):format(what, problem)) else agreed = agreed + 1 end
end)
print(("%d of %d"):format(agreed, done))
os.exit(agreed == done and done > 0)
