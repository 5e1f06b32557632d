--- convlua doctor: what was found on this machine, a line each, and why something is missing.
-- The status is 1 when the library itself does not load.

local core = require "convlua.core"
local env = require "convlua.core.env"

local function first_line(path, pattern)
  local file = io.open(path, "r")
  if not file then return nil end
  for line in file:lines() do
    local found = line:match(pattern)
    if found then
      file:close()
      return found
    end
  end
  file:close()
end

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

local function command(line)
  local pipe = io.popen(line .. " 2>/dev/null", "r")
  local answer = pipe and pipe:read "l"
  if pipe then pipe:close() end
  return answer ~= "" and answer or nil
end

local function gib(bytes)
  return ("%.1f GiB"):format(bytes / 2 ^ 30)
end

local function processor()
  local model = first_line("/proc/cpuinfo", "^model name%s*:%s*(.-)%s*$")
  model = model or command "uname -m" or "unknown"
  local forced = os.getenv "CONVLUA_ISA"
  return ("%s; kernels for %s%s"):format(model, core.isa(), forced and " (CONVLUA_ISA)" or "")
end

--- The machine's memory, what of it is free, and the limit of the control group if that is less.
local function memory()
  local total = tonumber(first_line("/proc/meminfo", "^MemTotal:%s*(%d+)"))
  local free = tonumber(first_line("/proc/meminfo", "^MemAvailable:%s*(%d+)"))
  if not (total and free) then return "unknown" end
  local text = ("%s, %s available"):format(gib(total * 1024), gib(free * 1024))
  local limit = tonumber(first_line("/sys/fs/cgroup/memory.max", "^(%d+)"))
  if limit and limit < total * 1024 then text = text .. "; limited to " .. gib(limit) end
  return text
end

--- The CUDA devices, a line each, and below them what the driver and the libraries are.
local function cuda()
  local problem = env.device_problem "cuda"
  if problem then return "no: " .. problem:gsub("^device '[^']*' is not available: ", "") end
  local lines, first = {}
  for i, name in ipairs(core.device.list()) do
    if i > 1 then -- after the CPU
      local d = core.device.info(name)
      first = first or d
      lines[#lines + 1] = ("%s, %s, compute capability %s, %d multiprocessors, %s, %s free"):format(name,
        d.gpu, d.compute_capability, d.multiprocessors, gib(d.memory), gib(d.free_memory))
    end
  end
  lines[#lines + 1] = ("driver for CUDA %s, runtime %s"):format(first.driver, first.runtime)
  lines[#lines + 1] = "cuBLAS " .. first.cublas
  lines[#lines + 1] = "cuDNN " .. first.cudnn
  return table.concat(lines, "\n")
end

local function library(name)
  local path, problem = env.find_library(name)
  return path or "no: " .. problem
end

local function terminal()
  local edit = require "convlua.edit"
  local lines = edit.terminal() and "lines can be edited" or "plain lines"
  return ("%s, %d columns"):format(lines, edit.columns())
end

--- Where CIFAR-10 is, or where it was looked for.
local function cifar10()
  local places = require "convlua.data.files".places()
  for _, place in ipairs(places) do
    local folder = place .. "/cifar-10-batches-bin"
    if exists(folder .. "/data_batch_1.bin") then return folder end
  end
  return "not in " .. table.concat(places, ", ")
end

local function say(name, text)
  print(("%-12s %s"):format(name, (text:gsub("\n", "\n" .. (" "):rep(13)))))
end

return function()
  say("convlua", ("%s, %s, program %s"):format(env.version, _VERSION, env.program() or "unknown"))
  local ok, problem = pcall(require, "convlua")
  say("library", ok and "loads" or "does not load: " .. tostring(problem))
  say("processor", processor())
  say("threads", tostring(core.threads()))
  say("memory", memory())
  say("BLAS", env.blas())
  say("JPEG", library "libturbojpeg.so.0")
  say("PNG", library "libpng16.so.16")
  say("zip", library "libzip.so.4")
  say("download", library "libcurl.so.4")
  say("cuda", cuda())
  say("CIFAR-10", cifar10())
  say("terminal", terminal())
  return ok and 0 or 1
end
