--- convlua selftest [cpu | cuda | cuda:N] [--small] [--no-rates]
-- Whether this machine computes what convlua promises: every sample of every op, and ops at the sizes where
-- kernels break, on a CUDA device against the CPU; on the CPU, samples against float64. Then how fast it
-- is. What it prints is meant to be pasted into a report of a fault.
--   --small      float32 only and small rates, for a simulated device
--   --no-rates   only whether it is right
-- The status is 1 when anything differs.

local convlua = require "convlua"
local core = require "convlua.core"
local env = require "convlua.core.env"

local usage = "usage: convlua selftest [cpu | cuda | cuda:N] [--small] [--no-rates]"
local MOST_SHOWN = 20 -- failures told in detail

-- Ops by the first pattern that their name has.
local groups = {
  { "convolution", "conv" },
  { "pooling and resizing", "pool", "upsample" },
  { "matrix products", "^matmul$", "^tri[lu]$" },
  { "normalization", "norm" },
  { "softmax and losses", "softmax", "entropy", "^mae$", "^mse$", "^huber$" },
  { "reductions and scans", "^sum$", "^mean$", "^max$", "^min$", "^arg", "^var$", "^std$", "^prod$",
    "^cumsum$", "^logsumexp$", "^any$", "^all$", "^topk$" },
  { "everything else", "" },
}

local function group_of(op)
  for _, group in ipairs(groups) do
    for i = 2, #group do
      if op:find(group[i]) then return group end
    end
  end
end

local function parse(...)
  local o = { device = "cpu", rates = true }
  for _, word in ipairs { ... } do
    if word == "--small" then
      o.small = true
    elseif word == "--no-rates" then
      o.rates = false
    elseif word == "cpu" or word:find "^cuda$" or word:find "^cuda:%d+$" then
      o.device = word
    else
      error({ usage = ("'%s' is no device and no option\n%s"):format(word, usage) }, 0)
    end
  end
  return o
end

local function say(name, text, ...)
  print(("%-20s %s"):format(name, text:format(...)))
end

--- What it runs on, as doctor knows it.
local function describe(device)
  say("convlua selftest", "%s on %s", env.version, device)
  say("kernels", "%s, %d threads, BLAS %s", core.isa(), core.threads(), env.blas())
  local d = core.device.info(device)
  if not d.gpu then return end
  say("GPU", "%s", d.gpu)
  say("compute capability", "%s, %d multiprocessors", d.compute_capability, d.multiprocessors)
  say("memory", "%.1f GiB, %.1f free", d.memory / 2 ^ 30, d.free_memory / 2 ^ 30)
  say("driver", "for CUDA %s, runtime %s", d.driver, d.runtime)
  say("cuBLAS", "%s", d.cublas)
  say("cuDNN", "%s", d.cudnn)
end

--- A count for each group of comparisons, in the order of their first.
local function new_tally()
  local tally = { done = 0, agreed = 0, order = {}, failures = {} }

  function tally.tell(group, what, problem)
    local count = tally[group]
    if not count then
      count = { done = 0, agreed = 0 }
      tally[group] = count
      table.insert(tally.order, group)
    end
    count.done, tally.done = count.done + 1, tally.done + 1
    if problem then
      table.insert(tally.failures, ("%s: %s"):format(what, problem))
    else
      count.agreed, tally.agreed = count.agreed + 1, tally.agreed + 1
    end
  end

  function tally.print()
    for _, name in ipairs(tally.order) do
      local count = tally[name]
      say(name, "%5d of %d%s", count.agreed, count.done, count.agreed < count.done and "   FAIL" or "")
    end
    for i, text in ipairs(tally.failures) do
      if i > MOST_SHOWN then
        print(("... and %d more"):format(#tally.failures - MOST_SHOWN))
        break
      end
      print("FAIL " .. text)
    end
  end

  return tally
end

local function check(device, small)
  local tally = new_tally()
  local function wanted(_, dtype) return not small or dtype == "float32" end
  require "convlua.selftest.samples".all(device, wanted, function(op, sample, dtype, problem)
    tally.tell(group_of(op)[1], ("%s in %s"):format(sample, dtype), problem)
  end)
  if device ~= "cpu" and not small then
    require "convlua.selftest.sizes".all(device, false, function(what, problem)
      tally.tell("sizes", what, problem)
    end)
  end
  return tally
end

return function(...)
  local o = parse(...)
  local device = convlua.device.get(o.device)
  describe(device)
  local strict = device ~= "cpu" and convlua.device.tf32(device, false) -- whatever CONVLUA_TF32 says
  local tally = check(device, o.small)
  if strict then convlua.device.tf32(device, true) end
  tally.print()
  if o.rates then
    local ok, problem = pcall(require "convlua.cli.rates", device, o.small)
    if not ok then tally.tell("rates", "rates", problem) print("FAIL rates: " .. tostring(problem)) end
  end
  print(("%d of %d"):format(tally.agreed, tally.done))
  return tally.agreed == tally.done and 0 or 1
end
