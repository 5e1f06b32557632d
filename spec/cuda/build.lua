-- usage: convlua spec/cuda/build.lua BUILD OBJECT...
--
-- What ptxas said of every kernel of the plugin (core/cuda/cuda.mk keeps it beside the objects): for each
-- GPU that code is made for, no kernel may keep registers in memory for want of them. Nothing else may have
-- been said, by any compiler. The plugin must load: here it computes, or says that there is no GPU. No
-- source may ask for which GPU it is compiled, since not every one that code is made for is simulated.
-- Prints "N passed, N failed"; status 1 unless all hold.

local build = table.remove(arg, 1)

local gpus, order = {}, {} -- "sm_75" -> what is known of its kernels; their names as they came
local other = {}           -- lines that are neither

local function gpu(name)
  if not gpus[name] then
    gpus[name] = { kernels = 0, registers = 0, shared = 0, spilling = {} }
    order[#order + 1] = name
  end
  return gpus[name]
end

--- Reads one file: each kernel's name and GPU, then its spills, then its registers.
local function read(path)
  local name, of
  for line in io.lines(path) do
    local kernel, arch = line:match "Compiling entry function '([^']*)' for '([^']*)'"
    local stores, loads = line:match "(%d+) bytes spill stores, (%d+) bytes spill loads"
    local registers = line:match "Used (%d+) registers"
    if kernel then
      name, of = kernel, gpu(arch)
      of.kernels = of.kernels + 1
    elseif stores then
      if of and tonumber(stores) + tonumber(loads) > 0 then
        of.spilling[#of.spilling + 1] = ("%s: %s bytes stored, %s loaded"):format(name, stores, loads)
      end
    elseif registers and of then
      of.registers = math.max(of.registers, tonumber(registers))
      of.shared = math.max(of.shared, tonumber(line:match "(%d+) bytes smem" or 0))
    elseif not line:find "^ptxas info" then
      other[#other + 1] = ("%s: %s"):format(path, line)
    end
  end
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local passed, failed = 0, 0
local function demand(good, ...)
  if good then passed = passed + 1 else failed = failed + 1 print("FAIL " .. string.format(...)) end
end

for _, object in ipairs(arg) do
  local path = object:gsub("%.o$", ".ptxas")
  if exists(path) then read(path) end -- C files have none
end
demand(#order > 0, "ptxas has said nothing of any kernel in %s", build)
for _, name in ipairs(order) do
  local g = gpus[name]
  print(("%-8s %4d kernels, at most %d registers and %d bytes of shared memory, %d spill"):format(
    name, g.kernels, g.registers, g.shared, #g.spilling))
  demand(#g.spilling == 0, "%s spills: %s", name, table.concat(g.spilling, "; "))
end
demand(#other == 0, "the compilers said: %s", table.concat(other, "\n"))

local asking = io.popen("grep -rl __CUDA_ARCH__ core"):read "a"
demand(asking == "", "code that is not the same for every GPU: %s", asking)

local ok, answer = pcall(require "convlua".device.get, "cuda")
print("it says: " .. answer)
demand(ok or answer:find "there is no NVIDIA", "the plugin does not load")

print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
