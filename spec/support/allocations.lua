-- Runs every sample of every op, forward and backward, with 0, 1, 2, ... allocations allowed,
-- Lua's and the core's together, until it succeeds. Prints "op<tab>sample<tab>verdict" for each.
-- Outside of busted: each failure collects all garbage, which takes the longer the more is live.
-- Arguments: part K of N.

local convlua = require "convlua"
local memory = convlua.memory
local part, parts = tonumber(arg[1] or 1), tonumber(arg[2] or 1)
local most = 5000 -- a sample that needs more allocations than this does not end

-- What a sample may call: Lua's and the module's functions, the ops not shown to users too, and
-- random tensors that want gradients.
local environment = setmetatable({}, {
  __index = function(_, name) return convlua[name] or _G[name] end,
})
for _, op in ipairs(convlua.ops()) do environment[op.name] = op.call end
for _, name in ipairs { "rand", "randn" } do
  environment[name] = function(...)
    local x = convlua[name](...)
    x.requires_grad = true
    return x
  end
end

-- The sample's call, and then the gradients of what in it wants some.
local function compile(sample)
  local call = assert(load("return " .. sample, "=sample", "t", environment))
  return function()
    local y = call()
    if convlua.is_tensor(y) and y.requires_grad then y:sum():backward() end
  end
end

-- Leaves Lua with call frames in store. Lua drops a finalizer that it finds no memory to call,
-- which would look like a leak of ours.
local function descend(depth)
  if depth > 0 then return 1 + descend(depth - 1) end
  return 0
end

-- Bytes that are held after collecting; a second round, for what finalizers let go, only when there
-- are more than expected.
local function live(expected)
  collectgarbage()
  if memory.live() ~= expected then collectgarbage() end
  return memory.live()
end

local function verdict(sample)
  local run = compile(sample)
  local ok, message = pcall(run) -- what is made once and kept is made now
  if not ok then return "fails with all the memory there is: " .. message end
  local before = live()
  for n = 0, most do
    descend(200)
    ok, message = memory.failing(n, run)
    local after = live(before)
    if after ~= before then
      return ("allocation %d failed and left %d bytes"):format(n + 1, after - before)
    end
    if ok then return "ok" end
    if not tostring(message):find "memory" then
      return ("allocation %d failed with the error: %s"):format(n + 1, message)
    end
  end
  return ("still failing after %d allocations"):format(most)
end

local count = 0
for _, op in ipairs(convlua.ops()) do
  for _, sample in ipairs(op.samples) do
    count = count + 1
    if count % parts == part - 1 then
      print(op.name .. "\t" .. sample .. "\t" .. verdict(sample):gsub("%s+", " "))
    end
  end
end
print "end"
