-- Each allocation of each sample of each op fails once (spec/support/allocations.lua): that is a
-- Lua error, and it leaves nothing behind.

local build = os.getenv "BUILD" or "build"
local command = build .. "/convlua spec/support/allocations.lua %d %d 2>&1"
local parts = 2

-- The parts run side by side; reading them one after the other loses nothing.
local pipes = {}
for part = 1, parts do pipes[part] = assert(io.popen(command:format(part, parts))) end

for part, pipe in ipairs(pipes) do
  local last
  describe("when memory runs out", function()
    for line in pipe:lines() do
      last = line
      local op, sample, verdict = line:match "^([^\t]*)\t([^\t]*)\t(.*)$"
      if op then
        it(("%s gives back all it took in %s"):format(op, sample), function()
          assert.equal("ok", verdict)
        end)
      end
    end
    local status = pipe:close()
    it(("part %d of the samples comes to its end"):format(part), function()
      assert(status and last == "end", last)
    end)
  end)
end
