-- Every sample of every op, forward and backward, with 0, 1, 2, ... allocations allowed, Lua's and
-- the core's together, until it succeeds: each failure is a Lua error that leaves nothing behind.

local convlua = require "convlua"
local memory = convlua.memory

-- What a sample may call: the module's functions, the ops not shown to users too, and random
-- tensors that want gradients.
local environment = setmetatable({}, { __index = convlua })
for _, op in ipairs(convlua.ops()) do environment[op.name] = op.call end
for _, name in ipairs { "rand", "randn" } do
  environment[name] = function(...)
    local x = convlua[name](...)
    x.requires_grad = true
    return x
  end
end

local most = 3000 -- a sample that needs more allocations than this does not end

-- The sample's call, and then the gradients of what in it wants some.
local function compile(sample)
  local call = assert(load("return " .. sample, "=" .. sample, "t", environment))
  return function()
    local y = call()
    if type(y) == "userdata" and y.requires_grad then y:sum():backward() end
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

for _, op in ipairs(convlua.ops()) do
  describe(op.name, function()
    for _, sample in ipairs(op.samples) do
      it("gives back all it took when memory runs out in " .. sample, function()
        local run = compile(sample)
        run() -- what is made once and kept is made now
        local before = live()
        for n = 0, most do
          descend(200)
          local ok, message = memory.failing(n, run)
          local after = live(before)
          if after ~= before then
            error(("allocation %d failed and left %d bytes"):format(n + 1, after - before))
          end
          if ok then return end
          if not tostring(message):find "memory" then
            error(("allocation %d failed with the error: %s"):format(n + 1, message))
          end
        end
        error(("still failing after %d allocations"):format(most))
      end)
    end
  end)
end
