-- usage: convlua spec/cuda/devices.lua
--
-- Several devices, none, and devices that are lost: each case is a program of its own on another
-- simulated machine, and says what it must print. Prints "N of N"; status 1 unless all do.

local cases = {
  { "a second device computes", "", "3 cuda:1",
    [[local y = c.ones{3}:to "cuda:1":sum() print(string.format("%d", y:item()), y.device)]] },
  { "tensors go from one to the other", "", "2 cuda:1",
    [[local y = c.ones{2}:to "cuda:0":to "cuda:1" print(string.format("%d", y:sum():item()), y.device)]] },
  { "two devices do not mix", "", "cuda:0.*cuda:1",
    [[print(pcall(function() return c.ones{2}:to "cuda:0" + c.ones{2}:to "cuda:1" end))]] },
  { "there is no third", "", "'cuda:2' is not available: there are 2",
    [[print(pcall(c.device.get, "cuda:2"))]] },
  { "no driver", "CVSIM_DRIVER=0", "no NVIDIA driver", [[print(pcall(c.device.get, "cuda"))]] },
  { "no device", "CVSIM_DEVICES=0", "no NVIDIA GPU", [[print(pcall(c.device.get, "cuda"))]] },
  { "no plugin", "CONVLUA_CUDA_PLUGIN=/nowhere.so", "built without it",
    [[print(pcall(c.device.get, "cuda"))]] },
  { "products of float32 are strict, until TF32 is allowed", "", "false 1.000244140625 false 1.0 true",
    [[local a = c.full({ 1, 1 }, 1 + 2 ^ -12):to "cuda"
      local function product() return a:matmul(c.ones { 1, 1 }:to "cuda"):item() end
      print(c.device.tf32 "cuda", product(), c.device.tf32("cuda", true), product(), c.device.tf32 "cuda")]] },
  { "TF32 from the environment", "CONVLUA_TF32=1", "true", [[print(c.device.tf32 "cuda")]] },
  { "what is known of a device", "CVSIM_ARCH=75", "Simulated GPU .sm_75. 7.5 4 true",
    [[local d = c.device.info "cuda"
      print(d.gpu, d.compute_capability, d.multiprocessors, d.free_memory <= d.memory)]] },
  { "doctor tells it", "", "cuda:1, Simulated GPU .* CUDA 13.%d, runtime 13.%d cuBLAS 13.%d.%d cuDNN 9.%d+.%d",
    [[c.doctor()]] },
  { "doctor tells which libraries it lacks", "CONVLUA_CUDNN=0 CONVLUA_CUBLAS=0",
    "cuBLAS no: CONVLUA_CUBLAS=0 cuDNN no: CONVLUA_CUDNN=0", [[c.doctor()]] },
  { "what is known where a call fails", "CVSIM_FAIL=cudaMemGetInfo:1", "false device.info.*cudaMemGetInfo",
    [[print(pcall(c.device.info, "cuda"))]] },
  { "no memory", "CVSIM_MEMORY=16", "out of memory.*fine",
    [[print(pcall(function() return c.zeros({ 1 << 23 }, { device = "cuda" }) end))
      print(c.ones{2}:to "cuda":sum():item() == 2 and "fine")]] },
  { "a lost device says so, and so does all that follows", "CVSIM_FAIL=execution:3", "is lost.*true",
    [[local x = c.ones{4}:to "cuda"
      print(pcall(function() for i = 1, 9 do print((x + i):sum():item()) end end))
      print(not pcall(function() return (x + 1):sum():item() end))]] },
}

local function run(environment, code)
  local command = ("%s %s/convlua -e '%s' 2>&1"):format(environment, os.getenv "BUILD",
    'local c = require "convlua" ' .. code:gsub("\n", " "))
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return pipe:close(), text
end

local good = 0
for _, case in ipairs(cases) do
  local name, environment, expected, code = table.unpack(case)
  local ended, text = run(environment, code)
  text = text:gsub("%s+", " ")
  if ended and text:find(expected) then
    good = good + 1
  else
    print(("FAIL %s: expected '%s', got: %s"):format(name, expected, text))
  end
end
print(("%d of %d"):format(good, #cases))
os.exit(good == #cases)
