-- The CUDA plugin, where it is built: it says what it lacks, and has a kernel for every op. What it computes
-- is checked by make cuda-test, on simulated GPUs, with the scripts in spec/cuda/.

local command = require "spec.support.command"

local build = os.getenv "BUILD" or "build"
local folder = io.popen("pwd"):read "l"

local function built(...)
  for _, name in ipairs { ... } do
    local file = io.open(build .. "/" .. name)
    if not file then return pending(("%s/%s is not built: make cuda-test does it"):format(build, name)) end
    file:close()
  end
  return true
end

describe("the CUDA plugin #cuda", function()
  it("says in one sentence that there is none", function()
    local r = command.run({ "-e", 'require("convlua").device.get "cuda"' },
      { before = "CONVLUA_CUDA_PLUGIN=/nowhere.so" })
    assert.equal(1, r.status)
    assert.matches("device 'cuda:0' is not available: convlua was built without it: there is no /nowhere.so", r.err, 1, true)
  end)

  it("says that a file is no plugin", function()
    local r = command.run({ "-e", 'require("convlua").device.get "cuda"' },
      { before = "CONVLUA_CUDA_PLUGIN=" .. folder .. "/Makefile" })
    assert.equal(1, r.status)
    assert.matches("device 'cuda:0' is not available: .*Makefile", r.err)
  end)

  it("says which device there is not", function()
    if not built "convlua_cuda.so" then return end
    local r = command.run({ "-e", 'require("convlua").device.get "cuda:15"' })
    assert.equal(1, r.status)
    assert.matches("device 'cuda:15' is not available: [^\n]+", r.err)
  end)

  it("is of the program's version", function()
    if not built("cudatest/convlua_cuda.so", "cudasim/libcudart.so.13") then return end
    local r = command.run({ "-e", 'print(require("convlua").device.get "cuda")' }, { before =
      ("LD_LIBRARY_PATH=%s/cudasim CONVLUA_CUDA_PLUGIN=%s/cudatest/convlua_cuda.so"):format(build, build) })
    assert.equal("cuda:0\n", r.out .. r.err)
  end)

  it("has a kernel for every op, which agrees with the CPU's on every sample", function()
    if not built("cudatest/convlua_cuda.so", "cudasim/libcudart.so.13") then return end
    local r = command.run({ "spec/cuda/ops.lua" }, { before =
      ("LD_LIBRARY_PATH=%s/cudasim CONVLUA_CUDA_PLUGIN=%s/cudatest/convlua_cuda.so"):format(build, build) })
    assert.equal("", table.concat({ r.err, (r.out:gsub("ok [^\n]*\n", "")):match "FAIL[^\n]*" }))
    assert.matches("without a kernel: none", r.out, 1, true)
    assert.equal(0, r.status)
  end)
end)
