--- Calls of modules: which part an error comes from, and watching every part at work.
--
-- Neither costs anything per layer. The outermost call is protected; when it fails, the stack is
-- still as it was at the error, and the innermost frame that works on a part of the model tells
-- which one. Watching swaps what layers do when called, for as long as it lasts.

local core = require "convlua.core"
local tree = require "convlua.nn.tree"

local trace = {}

local outermost -- the module whose protected call is running
local note -- what watch() tells of every call, or nil

--- The path of the part of `root` that the innermost frame from `level` on works on; nil if none.
local function part_at_work(root, level)
  local paths = tree.paths(root)
  while debug.getinfo(level, "l") do
    local _, first = debug.getlocal(level, 1) -- of a C function too: its first argument
    local path = first ~= nil and paths[first]
    if path then return path end
    level = level + 1
  end
end

--- Message handler: the error's text with the part in front. Other error objects pass unchanged.
local function explain(problem)
  if type(problem) ~= "string" then return problem end
  local ok, path = pcall(part_at_work, outermost, 4)
  if not ok or not path or path == "" then return problem end
  return ("in '%s': %s"):format(path, problem)
end

local function finish(ok, ...)
  outermost = nil
  if ok then return ... end
  error((...), 0)
end

local function told(part, inputs, ...)
  note(part, inputs, ...)
  return ...
end

--- __call of every module.
function trace.call(self, ...)
  if outermost then
    if note then return told(self, table.pack(...), self:forward(...)) end
    return self:forward(...)
  end
  outermost = self
  return finish(xpcall(self.forward, explain, self, ...))
end

--- f(...), and for every layer and inner module that is called meanwhile, after its forward,
-- tell(part, inputs, output, ...): inputs as of table.pack. Layers tell before the module they are
-- in does. Gives what f gives.
function trace.watch(tell, f, ...)
  local layer, methods = debug.getregistry()["convlua.layer"], core.layer_methods
  local call, forward, former = rawget(layer, "__call"), methods.forward, note
  local function watched(self, ...)
    return told(self, table.pack(...), call(self, ...))
  end
  layer.__call, methods.forward, note = watched, watched, tell
  local results = table.pack(pcall(f, ...))
  layer.__call, methods.forward, note = call, forward, former
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return trace
