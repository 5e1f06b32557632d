--- The prompt. run{ plain = boolean, prompts = boolean } reads chunks until the input ends and
-- returns an exit status.
--
-- A line that is an expression is evaluated and its values are shown; anything else is run. A chunk
-- that is not complete goes on with the prompt ">>". Locals survive (repl/session.lua). Ctrl-C
-- drops the line, or stops the running chunk. Without a terminal there is no banner and no prompt,
-- unless `prompts` asks for them, and the status is 1 after an error.

local edit = require "convlua.edit"
local env = require "convlua.core.env"
local pretty = require "convlua.pretty"
local report = require "convlua.repl.report"

local repl = {}

local NAME = "=stdin" -- of the chunks, in messages

local function incomplete(message)
  return message:find "<eof>$" or message:find "near '<eof>'$"
end

--- Compiles what was typed so far. Gives a chunk; or nil, a message, and whether more lines may
-- mend it.
function repl.compile(session, text)
  local expression = text:match "^%s*=(.*)$" or text -- "=x" showed x in older Luas
  local chunk, as_expression = session:compile("return " .. expression, NAME)
  if chunk then return chunk end
  local message
  chunk, message = session:compile(text, NAME)
  if chunk then return chunk end
  if incomplete(as_expression) then message = as_expression end -- "1 +" is no statement at all
  return nil, message, incomplete(message)
end

--- Shows values as one line, separated by tabs, or each on its own when one needs several.
function repl.show(...)
  local n = select("#", ...)
  if n == 0 then return end
  local texts, tall = {}, false
  for i = 1, n do
    texts[i] = pretty((select(i, ...)), { columns = edit.columns() })
    tall = tall or texts[i]:find "\n" ~= nil
  end
  print(table.concat(texts, tall and "\n" or "\t"))
end

--- A chunk's frame is a function of ours; the user wrote a chunk.
local function traceback(problem)
  local text = report.traceback(problem)
  if type(text) ~= "string" then return text end
  return (text:gsub("in function <stdin:1>$", "in main chunk"))
end

local function banner()
  local core = require "convlua.core"
  local threads = core.threads()
  print(("convlua %s, %s. CPU: %s, %d thread%s. help() helps, Ctrl-D leaves."):format(
    env.version, _VERSION, core.isa(), threads, threads == 1 and "" or "s"))
end

--- Reads one chunk: it, or nil and "end"; or nil, "error" and a message; or nil and "interrupted".
local function read_chunk(session, ask)
  local text, why = ask "> "
  if not text then return nil, why end
  while true do
    local chunk, message, more = repl.compile(session, text)
    if chunk then return chunk, text end
    if not more then return nil, "error", message, text end
    local line, reason = ask ">> "
    if not line then
      if reason == "end" then return nil, "error", message, text end
      return nil, reason
    end
    text = text .. "\n" .. line
  end
end

function repl.run(options)
  local session = require "convlua.repl.session".new()
  local typed = edit.interactive() or options.prompts
  local edited = not options.plain and edit.terminal()
  local remember = function() end
  if edited then
    remember = require "convlua.repl.history".open()
    edit.set_completer(require "convlua.repl.complete".completer(session))
  end
  local function ask(prompt)
    return edit.read(typed and prompt or "", edited)
  end
  local failed = false
  local function fail(problem)
    failed = true
    report.say(problem, "")
  end
  _G.help = _G.help or require "convlua.help"
  if typed then banner() end

  -- Ctrl-C is an error from here on, until the values are shown; never in the loop below.
  local function run(chunk)
    edit.running(true)
    local results = table.pack(session:run(chunk, traceback))
    if not results[1] then error(results[2], 0) end
    repl.show(table.unpack(results, 2, results.n))
    edit.running(false)
  end

  edit.running(false)
  while true do
    local chunk, text, message, wrong = read_chunk(session, ask)
    if chunk then
      remember(text)
      local ok, problem = pcall(run, chunk)
      edit.running(false)
      if not ok then fail(problem) end
    elseif text == "error" then
      remember(wrong)
      fail(message)
    elseif text == "interrupted" then
      if typed then print() end
    else
      if typed then print() end
      break
    end
    io.stdout:flush()
  end
  edit.running(true)
  session:close()
  return failed and not typed and 1 or 0
end

return repl
