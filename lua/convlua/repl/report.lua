--- How errors are told: on stderr, with a traceback that ends where the user's own code begins.

local report = {}

-- Where the frames of the command itself begin.
local ours = "\n\t%[C%]: in function 'xpcall'\n\tlua/convlua/[cr][le][ip]l?[./]"

--- A message handler for xpcall: the message and where it came from. An error object that is a
-- table passes unchanged unless it can be read as text.
function report.traceback(problem)
  local text = problem
  if type(problem) ~= "string" then
    local metatable = debug.getmetatable(problem)
    if type(problem) == "table" and not (metatable and metatable.__tostring) then return problem end
    if metatable and metatable.__tostring then
      local ok, readable = pcall(tostring, problem)
      text = ok and readable or ("(error object whose __tostring failed: %s)"):format(readable)
    else
      text = ("(error object is a %s value)"):format(type(problem))
    end
  end
  local full = debug.traceback(text, 2)
  full = full:sub(1, (full:find(ours) or 0) - 1)
  local function drop(pattern)
    full = full:gsub("(\nstack traceback:)" .. pattern, "%1", 1)
  end
  drop "\n\tlua/convlua/repl%.lua:[^\n]*" -- a handler that called this one
  drop "\n\t%(%.%.%.tail calls%.%.%.%)"
  return full
end

function report.is_interrupt(problem)
  if type(problem) ~= "string" then return false end
  local message = problem:match "^(.-)\nstack traceback:" or problem
  return message:find "interrupted!$" ~= nil
end

--- Writes a problem to stderr. `program` is put before it; none for "".
function report.say(problem, program)
  if type(problem) ~= "string" then
    problem = problem == nil and "nil" or ("(error object is a %s value)"):format(type(problem))
  end
  program = program or "convlua: "
  io.stdout:flush()
  io.stderr:write(program, problem, "\n")
end

return report
