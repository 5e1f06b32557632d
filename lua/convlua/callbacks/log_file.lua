--- A text file that grows by whole lines. A full disk is told once, and training goes on: lines that
-- could not be written are counted.

local LogFile = {}
LogFile.__index = LogFile

local function complain(self, problem)
  self.lost = self.lost + 1
  if self.lost > 1 then return end
  io.stderr:write(("%s: %s; training goes on without it\n"):format(self.path, problem))
end

--- `append`: keep what is there.
function LogFile.open(path, append)
  local self = setmetatable({ path = path, lost = 0 }, LogFile)
  local file, problem = io.open(path, append and "a" or "w")
  if not file then complain(self, problem) end
  self.file = file
  return self
end

function LogFile:write(line)
  if not self.file then
    self.lost = self.lost + 1
    return
  end
  local ok, problem = self.file:write(line, "\n")
  if ok then ok, problem = self.file:flush() end
  if not ok then complain(self, problem) end
end

function LogFile:close()
  if self.file then self.file:close() end
  self.file = nil
  if self.lost > 1 then
    io.stderr:write(("%s: %d lines were lost\n"):format(self.path, self.lost))
  end
end

return LogFile
