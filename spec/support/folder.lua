--- A folder of its own for a spec, gone afterwards:
--   local folder = require "spec.support.folder"
--   folder.with(function(path) ... end)

local folder = {}

--- Calls use(path) with a new empty folder and removes it with all that is in it.
function folder.with(use)
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir '" .. path .. "'"))
  local ok, problem = pcall(use, path)
  os.execute("rm -rf '" .. path .. "'")
  if not ok then error(problem, 0) end
end

--- The bytes of a file, or nil.
function folder.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local bytes = file:read "a"
  file:close()
  return bytes
end

function folder.write(path, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
end

return folder
