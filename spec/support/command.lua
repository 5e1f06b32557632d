--- Running the program as a user does: command lines, and a terminal to type into.

local command = {}

local program = require "convlua.core.env".program()

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(path)
  local file = io.open(path, "r")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

--- Runs convlua with a list of arguments. Gives { out, err, status }. o.input: standard input;
-- o.before: shell text in front of the program, such as "CONVLUA_THREADS=2".
function command.run(arguments, o)
  o = o or {}
  local words = {}
  for i, word in ipairs(arguments) do words[i] = quote(word) end
  local base = os.tmpname()
  write(base, o.input or "")
  local line = ("%s %s %s <%s >%s.out 2>%s.err"):format(
    o.before or "", o.program or quote(program), table.concat(words, " "), base, base, base)
  local _, how, status = os.execute(line)
  local result = { out = read(base .. ".out"), err = read(base .. ".err") }
  result.status = how == "signal" and 128 + status or status
  for _, ending in ipairs { "", ".out", ".err" } do os.remove(base .. ending) end
  return result
end

--- A file with some text, for the time of a call: with_file(text, function(path) ... end).
function command.with_file(text, use)
  local path = os.tmpname()
  write(path, text)
  local ok, problem = pcall(use, path)
  os.remove(path)
  if not ok then error(problem, 0) end
end

-- A terminal -------------------------------------------------------------------------------------

local terminal = {}
terminal.__index = terminal

--- Starts convlua in a pseudo-terminal (script of util-linux). o.before: settings for its
-- environment, o.line: its arguments. "exec env": a shell that stayed would get Ctrl-C too.
function command.terminal(o)
  o = o or {}
  local self = setmetatable({ log = os.tmpname(), at = 1 }, terminal)
  local line = ("exec env TERM=%s %s %s %s"):format(
    o.term or "xterm", o.before or "", quote(program), o.line or "")
  local script = "exec script -qfec %s %s >/dev/null 2>&1"
  self.pipe = assert(io.popen(script:format(quote(line), self.log), "w"))
  return self
end

--- Keys as they come from a keyboard; "\3" is Ctrl-C, "\4" Ctrl-D.
function terminal:type(keys)
  self.pipe:write(keys)
  self.pipe:flush()
end

--- Waits for a text behind what was waited for before; fails after 20 seconds.
function terminal:wait(text)
  for _ = 1, 400 do
    local first, last = read(self.log):find(text, self.at, true)
    if first then
      self.at = last + 1
      return
    end
    os.execute "sleep 0.05"
  end
  local shown = read(self.log):sub(self.at)
  error(("'%s' did not appear; the terminal shows:\n%s"):format(text, shown), 2)
end

--- Types, and waits for what must follow.
function terminal:enter(keys, ...)
  self:type(keys)
  for i = 1, select("#", ...) do self:wait((select(i, ...))) end
end

function command.pause(seconds)
  os.execute("sleep " .. seconds)
end

--- Everything shown so far.
function terminal:text()
  return read(self.log)
end

--- Leaves the program to its end and gives its status.
function terminal:close()
  local _, _, status = self.pipe:close()
  os.remove(self.log)
  return status
end

return command
