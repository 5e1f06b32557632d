-- usage: convlua spec/cuda/barriers.lua BUILD
--
-- Every barrier of the kernels is left out in turn, and the simulated GPU must notice: a check that
-- never fails proves nothing. A barrier is noticed when a run of its kernel ends with the simulator's
-- report, of a race or of memory that nobody has written yet. Prints "N passed, N failed"; status 1
-- unless all are noticed.

local build = assert(arg[1], "usage: convlua spec/cuda/barriers.lua BUILD")
local here = assert(io.popen "pwd"):read "l"

local norm_of_gradients = [[
  local c = require "convlua"
  local x = c.randn({ 5000 }, { device = "cuda", requires_grad = true })
  c.sum(x * x):backward()
  c.optim.SGD({ x }, { learning_rate = 0.1 }):gradient_norm()
]]

-- What runs the kernels of a file, the quickest first: environment, then a script of this folder or a chunk.
local runs = {
  ["batch_norm.cu"] = { "|ops --op batch_norm --dtype float32" },
  ["finish.cu"] = { "|ops --op conv2d --dtype float32" },
  ["cross_entropy.cu"] = { "|ops --op softmax_cross_entropy --dtype float32", "|sizes" },
  ["gemm.cuh"] = { "CONVLUA_CUDNN=0|ops --op conv2d --dtype float32" },
  ["layout.cu"] = { "|ops --op conv2d --dtype float32" },
  ["pool.cu"] = { "|ops --op global_avg_pool --dtype float32" },
  ["reduce.cuh"] = { "|ops --op sum --dtype float32", "|sizes" },
  ["update.cu"] = { "|" .. norm_of_gradients },
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

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- The simulator's report, or nil.
local function noticed(barrier, run)
  local environment, what = run:match "^(.-)|(.*)$"
  local script, rest = what:match "^(%l+)(.*)$"
  local command = script and ("spec/cuda/%s.lua%s"):format(script, rest) or "-e " .. quoted(what)
  local pipe = assert(io.popen(([[
    env CVSIM_SKIP_BARRIER=%s:%d CVSIM_ARCH=80 CVSIM_ORDER=random CONVLUA_CUDA_PLUGIN=%s/%s/cudatest/convlua_cuda.so \
      LD_LIBRARY_PATH=%s/%s/cudasim %s timeout 120 %s/convlua %s 2>&1]]):format(
    barrier.file, barrier.line, here, build, here, build, environment, build, command)))
  local text = pipe:read "a"
  pipe:close()
  return text:match "CVSIM VIOLATION: ([^\n]*)"
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

    found and found:match "/(core/cuda/.*)":sub(1, 110) or runs[barrier.file] and "nobody notices"
    or "spec/cuda/barriers.lua knows no run of this file"))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and passed > 0)
