-- usage: convlua spec/cuda/barriers.lua BUILD
--
-- Every barrier of the kernels is left out in turn, and the simulated GPU must notice: a check that
-- never fails proves nothing. A barrier is noticed when a script that runs its kernel ends with an error that
-- names a race or a barrier, or disagrees with the CPU. Prints "N passed, N failed"; status 1 unless all
-- are noticed.

local build = assert(arg[1], "usage: convlua spec/cuda/barriers.lua BUILD")
local here = assert(io.popen "pwd"):read "l"

-- What runs the kernels of a file, the quickest first; what comes before the script is environment.
local runs = {
  ["batch_norm.cu"] = { "|ops --op batch_norm --dtype float32" },
  ["bias.cu"] = { "|ops --op conv2d --dtype float32" },
  ["cross_entropy.cu"] = { "|ops --op softmax_cross_entropy --dtype float32", "|sizes" },
  ["gemm.cuh"] = { "CONVLUA_CUDNN=0|ops --op conv2d --dtype float32", "CONVLUA_CUDNN=0|train lenet float32 1" },
  ["layout.cu"] = { "|ops --op conv2d --dtype float32", "|ops --op transposed_conv2d --dtype float32", "|train lenet float32 1" },
  ["pool.cu"] = { "|ops --op global_avg_pool2d --dtype float32", "|train resnet18 float32 1" },
  ["reduce.cuh"] = { "|ops --op sum --dtype float32", "|sizes" },
  ["update.cu"] = { "|train lenet float32 2", "|failures" },
}

local function barriers()
  local list = {}
  for path in assert(io.popen "ls core/cuda/*.cu core/cuda/*.cuh"):lines() do
    local number = 0
    for line in io.lines(path) do
      number = number + 1
      if line:find("__syncthreads()", 1, true) then
        list[#list + 1] = { file = path:match "[^/]+$", line = number }
      end
    end
  end
  return list
end

-- How the simulator puts it, or the CPU's disagreement; nil when the run is content.
local function noticed(barrier, run)
  local environment, command = run:match "^(.-)|(.*)$"
  local script, rest = command:match "^(%S+)%s*(.*)$"
  local pipe = assert(io.popen(([[
    env CVSIM_SKIP_BARRIER=%s:%d CVSIM_ARCH=80 CVSIM_ORDER=random CONVLUA_CUDA_PLUGIN=%s/%s/cudatest/convlua_cuda.so \
      LD_LIBRARY_PATH=%s/%s/cudasim %s timeout 120 %s/convlua spec/cuda/%s.lua %s 2>&1]]):format(
    barrier.file, barrier.line, here, build, here, build, environment, build, script, rest)))
  local text = pipe:read "a"
  if pipe:close() then return nil end
  return text:match "[^\n]*race[^\n]*" or text:match "[^\n]*barrier[^\n]*" or text:match "FAIL[^\n]*"
end

local passed, failed = 0, 0
for _, barrier in ipairs(barriers()) do
  local place = ("%s:%d"):format(barrier.file, barrier.line)
  local found
  for _, run in ipairs(runs[barrier.file] or {}) do
    found = found or noticed(barrier, run)
  end
  if found then passed = passed + 1 else failed = failed + 1 end
  print(("%-4s without the barrier at %s: %s"):format(found and "ok" or "FAIL", place,
    found and found:sub(1, 120) or runs[barrier.file] and "nobody notices" or "spec/cuda/barriers.lua knows no run for this file"))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and passed > 0)
