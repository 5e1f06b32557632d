--- The `convlua` command: what its arguments mean. Returns run(argv) -> exit status, where argv[0]
-- is the program.
--
-- Statuses: 0 all went well; 1 a Lua error, told with a traceback on stderr; 2 arguments or an
-- environment that make no sense; 130 stopped by Ctrl-C. `arg` is what lua5.4 makes of it: the
-- script at 0, its arguments after, the rest before.

local env = require "convlua.core.env"
local report = require "convlua.repl.report"

local usage = [[
usage: convlua [options] [script.lua | - | command] [arguments]

With neither script nor command, convlua is a prompt. '-' runs what comes from standard input.

options
  -e CODE          run CODE, with `convlua` loaded; may be repeated
  -l NAME          require NAME and keep it in a global of that name
  -i               the prompt afterwards, also where nobody sits at a terminal
  -n               read lines plainly: no editing, no completion, no history
  --threads N      threads of the CPU kernels (default: $CONVLUA_THREADS, else all cores)
  --seed N         seed of the random numbers
  --device NAME    device.default(): cpu, cuda, cuda:1, ...
  -v, --version    the version
  -h, --help       this text
  --               end of options

commands
  doctor           what was found: processor, libraries, devices, data sets
  selftest [cpu | cuda | cuda:N] [--small] [--no-rates]
                   whether this machine computes what it must, and how fast
  summary MODULE [NAME] [--input HxWxC] [option=value ...]
                   layers, shapes and parameters of a model: convlua summary models.resnet ResNet18
  bench [...]      run scripts/bench.lua
]]

--- Raised by wrong arguments: the message, told with status 2 and without a traceback.
local Wrong = {}
Wrong.__index = Wrong

local function wrong(message, ...)
  error(setmetatable({ message = message:format(...) }, Wrong), 0)
end

local function whole_number(option, text, low, high)
  local n = math.tointeger(tonumber(text))
  if not n or n < low or n > high then
    if high == math.maxinteger then wrong("%s must be a whole number, got '%s'", option, text) end
    wrong("%s must be a whole number from %d to %d, got '%s'", option, low, high, text)
  end
  return n
end

-- Each option: whether a value follows, and what to do with it.
local options = {
  ["-e"] = { value = true, set = function(o, text) o.first[#o.first + 1] = { code = text } end },
  ["-l"] = { value = true, set = function(o, text) o.first[#o.first + 1] = { module = text } end },
  ["-i"] = { set = function(o) o.interactive = true end },
  ["-n"] = { set = function(o) o.plain = true end },
  ["--threads"] = { value = true, set = function(o, text)
    o.threads = whole_number("--threads", text, 1, env.max_threads)
  end },
  ["--seed"] = { value = true, set = function(o, text)
    o.seed = whole_number("--seed", text, math.mininteger, math.maxinteger)
  end },
  ["--device"] = { value = true, set = function(o, text)
    if text ~= "cpu" and not text:find "^cuda$" and not text:find "^cuda:%d+$" then
      wrong("--device must be cpu, cuda or cuda:N, got '%s'", text)
    end
    o.device = text
  end },
  ["--version"] = { set = function(o) o.version = true end },
  ["--help"] = { set = function(o) o.help = true end },
}
options["-v"], options["-h"] = options["--version"], options["--help"]

--- What the arguments ask for; `position` is that of the script or command, nil when there is none.
local function parse(argv)
  local o = { first = {} }
  local i = 1
  while argv[i] do
    local word = argv[i]
    if word == "-" or word:sub(1, 1) ~= "-" then
      o.position = i
      return o
    elseif word == "--" then
      o.position = argv[i + 1] and i + 1
      return o
    end
    local name, value = word:match "^(%-%-[%w-]+)=(.*)$"
    if not name and word:find "^%-[el]." then name, value = word:sub(1, 2), word:sub(3) end
    name = name or word
    local option = options[name]
    if not option then wrong("unknown option '%s'", word) end
    if option.value and not value then
      i = i + 1
      value = argv[i]
      if not value then wrong("option '%s' needs a value", name) end
    elseif value and not option.value then
      wrong("option '%s' takes no value", name)
    end
    option.set(o, value)
    i = i + 1
  end
  return o
end

--- The global `arg`, with the script, or the program when there is none, at 0.
local function set_arg(argv, position)
  _G.arg = {}
  for i = 0, #argv do _G.arg[i - (position or 0)] = argv[i] end
  return table.unpack(_G.arg, 1)
end

--- Runs a chunk and tells its error. Gives true, or false and the exit status.
local function run_chunk(chunk, message, ...)
  if not chunk then
    report.say(message)
    return false, 1
  end
  local ok, problem = xpcall(chunk, report.traceback, ...)
  if ok then return true end
  report.say(problem)
  return false, report.is_interrupt(problem) and 130 or 1
end

local function bring(name)
  return function()
    _G[name:match "[^.]*$"] = require(name)
  end
end

--- Where the scripts that come with convlua are: the source tree around the program, or where they
-- were installed.
local function own_script(name)
  local folder = (env.program() or ""):match "^(.*)/[^/]*$" or "."
  local places = { "scripts/", folder .. "/../scripts/", folder .. "/../share/convlua/scripts/" }
  for _, place in ipairs(places) do
    local file = io.open(place .. name, "r")
    if file then
      file:close()
      return place .. name
    end
  end
  error(("no %s in %s"):format(name, table.concat(places, ", ")), 0)
end

-- Each gets the command's arguments.
local commands = {
  doctor = function(...) return require "convlua.doctor"(...) end,
  selftest = function(...) return require "convlua.cli.selftest"(...) end,
  summary = function(...) return require "convlua.cli.summary"(...) end,
  bench = function(...)
    local path = own_script "bench.lua"
    _G.arg[0] = path
    return assert(loadfile(path))(...)
  end,
}

--- Puts --threads, --seed and --device into force. A device that is absent is an error now, not at
-- its first use.
local function apply(o)
  if not (o.threads or o.seed or o.device) then return true end
  local core = require "convlua.core"
  if o.threads then core.threads(o.threads) end
  if o.seed then core.manual_seed(o.seed) end
  if o.device then
    local problem = env.device_problem(o.device)
    if problem then return false, "--device: " .. problem end
    local name = core.device.get(o.device)
    core.device.default = function() return name end
  end
  return true
end

local function prompt(o)
  local ok, problem = xpcall(bring "convlua", report.traceback)
  if not ok then report.say(problem) end -- a prompt without the library is still of use
  return require "convlua.repl".run { plain = o.plain, prompts = o.interactive }
end

local function act(argv)
  local o = parse(argv)
  if o.help then
    io.stdout:write(usage)
    return 0
  elseif o.version then
    print(("convlua %s, %s"):format(env.version, _VERSION))
    return 0
  end
  local ok, problem = env.apply()
  if not ok then
    report.say(problem)
    return 2
  end
  ok, problem = apply(o)
  if not ok then
    report.say(problem)
    return 1
  end

  set_arg(argv, o.position)
  local status
  for _, item in ipairs(o.first) do
    local chunk, message = item.module and bring(item.module)
    if item.code then
      ok, status = run_chunk(bring "convlua")
      if not ok then return status end
      chunk, message = load(item.code, "=(command line)", "t")
    end
    ok, status = run_chunk(chunk, message)
    if not ok then return status end
  end

  local word = o.position and argv[o.position]
  if word then
    if commands[word] then
      ok, problem = xpcall(commands[word], report.traceback, table.unpack(_G.arg))
      if not ok then
        if type(problem) == "table" and problem.usage then wrong("%s", problem.usage) end
        report.say(problem)
        return report.is_interrupt(problem) and 130 or 1
      end
      return math.tointeger(problem) or 0
    end
    local chunk, message
    if word == "-" then chunk, message = loadfile() else chunk, message = loadfile(word) end
    ok, status = run_chunk(chunk, message, table.unpack(_G.arg))
    if not ok and not o.interactive then return status end
  elseif #o.first > 0 and not o.interactive then
    return 0
  end
  if word and not o.interactive then return 0 end
  return prompt(o)
end

return function(argv)
  local ok, result = xpcall(act, report.traceback, argv)
  if ok then return result end
  if getmetatable(result) == Wrong then
    report.say(result.message .. "\nTry 'convlua --help'.")
    return 2
  end
  report.say(result)
  return report.is_interrupt(result) and 130 or 1
end
