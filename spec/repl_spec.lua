-- The prompt: locals that survive, what is shown, completion, and a person at a terminal.

local command = require "spec.support.command"
local session = require "convlua.repl.session"
local complete = require "convlua.repl.complete"
local pretty = require "convlua.pretty"

describe("locals at the prompt", function()
  local s

  before_each(function() s = session.new() end)
  after_each(function() s:close() end)

  --- Runs a line and gives its values; an error is raised.
  local function line(text)
    local chunk, message = s:compile(text, "=line")
    if not chunk then error(message, 0) end
    local results = table.pack(s:run(chunk, function(problem) return problem end))
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
  end

  it("are there on the next line", function()
    line "local x, y = 1"
    assert.same({ 1, nil }, { line "return x, y" })
    line "x, y = 2, 3"
    assert.same({ 2, 3 }, { line "return x, y" })
    assert.is_nil(rawget(_G, "x"))
  end)

  it("are variables, not copies: closures see assignments made later", function()
    line "local n = 0"
    line "local function increment() n = n + 1 return n end"
    line "increment() n = n + 10"
    assert.equal(12, line "return increment()")
    assert.equal(12, line "return n")
  end)

  it("are shadowed by new ones of the same name, and closures keep the old ones", function()
    line "local n = 1"
    line "local function old() return n end"
    line "local n = n + 1"
    line "n = n + 1"
    assert.same({ 3, 1 }, { line "return n, old()" })
    assert.equal(6, line "local n = 5 local n = n + 1 return n")
    assert.equal(6, line "return n")
  end)

  it("may be recursive functions, and come from a chunk with a return", function()
    line "local function factorial(n) if n < 2 then return 1 end return n * factorial(n - 1) end"
    assert.equal(120, line "return factorial(5)")
    assert.same({ 1, 2 }, { line "local a = 1 return a, 2" })
    assert.equal(1, line "return a")
    assert.equal(0, select("#", line "local b = 2 return;"))
    assert.equal(2, line "return b")
  end)

  it("of inner blocks are not taken", function()
    line [[
      local outer = 1
      do local inner = 2 end
      for i = 1, 2 do local inner = i end
      while true do local inner = 1 break end
      repeat local inner = 1 until inner
      if outer then local inner = 1 elseif outer then local inner = 2 else local inner = 3 end
      local f = function(inner) local inner2 = 1 return inner2 end
      local t = { f = function() local inner = 1 return inner end }
      (function() local inner = 1 return inner end)()]]
    assert.same({ "f", "outer", "t" }, s:names())
  end)

  it("are found between comments, strings and goto", function()
    line [==[
      local a = "local x = 1" -- local y
      local b = [[ local z
      end ]] --[=[ local w ]=] local c = 'it\'s \
        local v' local d = 0x1p-4 + 3 .. ""
      goto on ::on::
      local e = #"]]" // 1 ~= 2]==]
    assert.same({ "a", "b", "c", "d", "e" }, s:names())
    assert.equal("it's \n        local v", line "return c")
    assert.same({ "0.06253" }, { tostring(line "return 0x1p-4 .. 3") })
  end)

  it("keep <const>, also when the compiler knows the value", function()
    line "local k <const>, t <const>, v = 42, {}, 1"
    assert.same({ 42, 1 }, { line "return k, v" })
    assert.has_error(function() line "k = 1" end, "attempt to assign to const variable 'k'")
    assert.has_error(function() line "t = 1" end, "attempt to assign to const variable 't'")
    line "v = 2"
    line "local k = 1"
    line "k = k + 1"
    assert.equal(2, line "return k")
  end)

  it("with <close> are closed at the end of the session, the last one first", function()
    _G.closed = {}
    line [[local function make(name)
      return setmetatable({}, { __close = function() closed[#closed + 1] = name end })
    end]]
    line "local a <close> = make 'a'"
    line "local b < close > = make 'b'"
    line "do local c <close> = make 'c' end"
    assert.same({ "c" }, _G.closed)
    assert.equal("table", line "return type(a)")
    s:close()
    assert.same({ "c", "b", "a" }, _G.closed)
    _G.closed = nil
  end)

  it("with <close> are closed at once when their chunk fails", function()
    _G.closed = {}
    assert.has_error(function()
      line [[local a <close> = setmetatable({}, { __close = function(_, why) closed[1] = why end })
        error("no", 0)]]
    end, "no")
    assert.same({ "no" }, _G.closed)
    assert.same({}, s:names())
    assert.has_error(function() line "local a <close> = 5" end,
      "variable 'a' got a non-closable value")
    _G.closed = nil
  end)

  it("may number more than Lua's 200 to a function", function()
    for i = 1, 300 do line(("local v%d = %d"):format(i, i)) end
    assert.equal(301, line "return v1 + v300")
  end)

  it("may be _ENV", function()
    line "local _ENV = { y = 5 }"
    assert.equal(5, line "return y")
    line "y = 6 z = 7"
    assert.equal(13, line "return y + z")
    assert.is_nil(rawget(_G, "z"))
  end)

  it("leave globals to be globals", function()
    line "function global_of_prompt() return 1 end"
    assert.equal(1, _G.global_of_prompt())
    _G.global_of_prompt = nil
  end)

  it("do not keep values alive that were shadowed", function()
    line "local big, other = setmetatable({}, { __mode = 'k' }), 1"
    line "local seen = setmetatable({ [big] = true }, { __mode = 'k' })"
    line "local big"
    collectgarbage()
    assert.is_nil(line "return next(seen)")
    assert.equal(1, line "return other")
  end)
end)

describe("values at the prompt", function()
  it("are text for strings and tostring for the rest", function()
    assert.equal("a\tb", pretty "a\tb")
    assert.equal("nil", pretty(nil))
    assert.equal("1.0", pretty(1.0))
  end)

  it("show what is in a table", function()
    assert.equal("{}", pretty {})
    assert.equal('{ 1, "two\\n", x = { y = true }, [10] = 0, ["a b"] = 1, ["end"] = 2 }',
      (pretty { 1, "two\n", x = { y = true }, [10] = 0, ["a b"] = 1, ["end"] = 2 })
        :gsub("^{ 1, (.-), %[10%] = 0, (.-), x = (.-) }$", "{ 1, %1, x = %3, [10] = 0, %2 }"))
  end)

  it("are cut in depth and length, and know cycles", function()
    assert.equal("{ { { {...} } } }", pretty({ { { { 1 } } } }, { depth = 3 }))
    assert.equal("{ 1, 2, ... 3 more }", pretty({ 1, 2, 3, 4, 5 }, { items = 2 }))
    local t = {}
    t.self = t
    assert.matches("^{ self = %(again table: 0x%x+%) }$", pretty(t))
  end)

  it("keep the rows of a tensor below each other", function()
    local rows = setmetatable({}, { __tostring = function() return "1 2\n3 4" end })
    assert.equal("{\n  a =\n    1 2\n    3 4\n}", pretty { a = rows })
  end)

  it("take several lines where they do not fit one", function()
    assert.equal('{\n  aaaa = "bbbb",\n  cccc = "dddd"\n}',
      pretty({ aaaa = "bbbb", cccc = "dddd" }, { columns = 20 }))
  end)

  it("may have a __tostring, even one that fails", function()
    assert.equal("me", pretty(setmetatable({}, { __tostring = function() return "me" end })))
    assert.matches("__tostring failed: .*no%)$",
      pretty(setmetatable({}, { __tostring = function() error "no" end })))
  end)
end)

describe("completion", function()
  local s

  before_each(function() s = session.new() end)

  local function words(begun)
    return complete.words(s, begun)
  end

  it("knows globals, keywords and fields", function()
    assert.same({ "collectgarbage" }, words "colle")
    assert.same({ "return" }, words "retur")
    assert.same({ "string.rep", "string.reverse" }, words "string.re")
    assert.same({}, words "no_such_thing.x")
    assert.same({}, words "string.format.x.y")
  end)

  it("knows locals of the prompt, and their methods through __index", function()
    local chunk = s:compile([[
      local Base = { hello = function() end, size = 1 }
      local thing = setmetatable({ own = 1 }, { __index = setmetatable({}, { __index = Base }) })
    ]], "=line")
    assert.is_true((s:run(chunk, print)))
    assert.same({ "thing" }, words "thin")
    assert.same({ "thing.hello", "thing.own", "thing.size" }, words "thing.")
    assert.same({ "thing:hello" }, words "thing:")
  end)

  it("runs nobody's code", function()
    local function fail() error "called" end
    _G.trap = setmetatable({}, { __index = fail, __pairs = fail, __len = fail })
    assert.same({}, words "trap.")
    assert.same({}, words "trap.field.")
    _G.trap = nil
  end)

  it("knows fields and methods of tensors", function()
    local convlua = require "convlua"
    _G.some_tensor = convlua.zeros { 2 }
    assert.same({ "some_tensor.shape" }, words "some_tensor.sha")
    assert.same({ "some_tensor:sum" }, words "some_tensor:sum")
    assert.same({}, words "some_tensor:sha")
    complete.each_field(_G.some_tensor, function(name)
      assert(pcall(function() return _G.some_tensor[name] end), name)
    end)
    _G.some_tensor = nil
  end)

  it("offers methods of strings", function()
    _G.some_text = "x"
    assert.same({ "some_text:rep", "some_text:reverse" }, words "some_text:re")
    _G.some_text = nil
  end)

  it("indents on an empty line", function()
    assert.same({ "  " }, complete.completer(s)("  ", 3, 2))
  end)
end)

describe("help", function()
  local core = require "convlua.core"
  local bound = require "convlua.bound"

  it("has a text for every C function that is not an op", function()
    local ops, missing = {}, {}
    for _, op in ipairs(core.ops()) do ops[op.name] = true end
    local function check(part, functions)
      for name, value in pairs(functions) do
        local known = ops[name] or bound[part][name] or name:find "^__"
        if type(value) == "function" and debug.getinfo(value, "S").what == "C" and not known then
          missing[#missing + 1] = part .. "." .. name
        end
      end
    end
    check("core", core)
    check("tensor", core.tensor_methods)
    for _, part in ipairs { "autograd", "device", "memory", "signal", "io", "data" } do
      check(part, core[part])
    end
    assert.same({}, missing)
  end)

  it("has no text for what is not there", function()
    for part, texts in pairs(bound) do
      local place = core[part]
      if part == "core" then place = core end
      if part == "tensor" then place = core.tensor_methods end
      for name in pairs(texts) do assert(place[name], part .. "." .. name) end
    end
  end)
end)

describe("the prompt without a terminal", function()
  local function feed(text, arguments)
    return command.run(arguments or {}, { input = text })
  end

  it("evaluates lines and is silent otherwise", function()
    local r = feed "1 + 1\nlocal x = 5\nx, nil, 'é'\n= x\nnil\nprint 'p'\n"
    assert.same({ out = "2\n5\tnil\té\n5\nnil\np\n", err = "", status = 0 }, r)
  end)

  it("goes on when a chunk is not complete", function()
    local r = feed "function f(x)\n  return x * 2\nend\nf(\n21\n)\n1 +\n2\n[[a\nb]]\n{ 1,\n2 }\n"
    assert.same({ out = "42\n3\na\nb\n{ 1, 2 }\n", err = "", status = 0 }, r)
  end)

  it("tells errors with a traceback that ends at the chunk, goes on, and has status 1", function()
    local r = feed "local function f() error 'boom' end\nf()\nx = = 1\nerror {}\n'still here'\nfor"
    assert.equal(1, r.status)
    assert.equal("still here\n", r.out)
    assert.equal([[
stdin:1: boom
stack traceback:
	[C]: in function 'error'
	stdin:1: in upvalue 'f'
	stdin:1: in main chunk
stdin:1: unexpected symbol near '='
(error object is a table value)
stdin:1: <name> expected near <eof>
]], r.err)
  end)

  it("takes very long lines and large chunks", function()
    local line, lines = ("x"):rep(100000), ("1,\n"):rep(300)
    local r = feed("#'" .. line .. "'\nlocal t = {\n" .. lines .. "}\n#t\n")
    assert.same({ out = "100000\n300\n", err = "", status = 0 }, r)
  end)

  it("shows prompts with -i, also after a script", function()
    local r = feed("2 * 3\n", { "-i", "-e", "y = 7" })
    assert.matches("^convlua .-\n> 6\n> \n$", r.out)
    command.with_file("z = 8 error 'x'", function(path)
      assert.matches("\n> 8\n", feed("z\n", { "-i", path }).out)
    end)
  end)

  it("helps", function()
    assert.matches("Tab completes", feed("help()\n").out)
    assert.matches("sum%(", feed("help 'sum'\n").out)
    assert.matches("sum%(", feed("help(convlua.sum)\n").out)
    assert.matches("fields and methods\n.*reshape", feed("help(convlua.zeros{2})\n").out)
    assert.matches("Nothing is known about 'nonsense'", feed("help 'nonsense'\n").out)
    assert.matches("as a person wants to read", feed("help(require 'convlua.pretty')\n").out)
  end)
end)

describe("the prompt in a terminal", function()
  local home, t

  before_each(function()
    home = os.tmpname()
    os.remove(home)
    t = command.terminal { before = "XDG_STATE_HOME=" .. home }
    t:wait "> "
  end)

  after_each(function()
    os.execute("rm -rf " .. home)
  end)

  local function leave()
    t:type "os.exit(true, true)\n"
    assert.equal(0, t:close())
  end

  it("ends at Ctrl-D", function()
    command.pause(0.5) -- for the line editor to take the terminal over: before, Ctrl-D is no key
    t:type "\4"
    assert.equal(0, t:close())
  end)

  it("stops a running chunk at Ctrl-C", function()
    t:enter("print 'go' while true do end\n", "go\r\n")
    t:enter("\3", "interrupted!", "> ")
    t:enter("'al' .. 'ive'\n", "alive")
    leave()
  end)

  it("stops a coroutine at Ctrl-C, wrapped or resumed, also deep inside others", function()
    t:enter("coroutine.wrap(function() print 'go' while true do end end)()\n", "go\r\n")
    t:enter("\3", "interrupted!", "> ")
    t:enter("resume, create = coroutine.resume, coroutine.create\n", "> ")
    t:enter("co = create(function() resume(create(function() print('g' .. 'o') " ..
      "while true do end end)) return 'went on' end)\n", "> ")
    t:enter("resume(co)\n", "go\r\n")
    t:enter("\3", "true\twent on", "> ") -- the inner one died of it, as resume lets errors do
    leave()
  end)

  it("drops the line, or the unfinished chunk, at Ctrl-C", function()
    t:enter("half a li", "half a li")
    t:enter("\3", "> ")
    t:enter("for i = 1, 2 do\n", ">> ")
    t:enter("\3", "> ")
    t:enter("'al' .. 'ive'\n", "alive")
    leave()
  end)

  it("completes, recalls and edits", function()
    t:enter("string.forma\t('%d', 41 + 1)\n", "42")
    t:enter("\27[A\1'=' .. \n", "=42")
    t:enter("\tlocal indented = 5\n", "> ")
    t:enter("inden\t + 1\n", "6")
    leave()
  end)

  it("takes pasted text of many lines", function()
    t:type "local function f(x)\n\tif x then\n\t\treturn 'pasted'\n\tend\nend\n"
    t:enter("f(1) .. '!'\n", "pasted!")
    leave()
  end)

  it("shows and edits text beyond ASCII", function()
    t:enter("'äöü€' .. '!'\n", "äöü€!\r\n")
    t:enter("#'ä\127b'\n", "1\r\n")
    leave()
  end)

  it("keeps its history in a private file, chunks of several lines as one entry", function()
    t:enter("first = 1\n", "> ")
    t:enter("function g()\nreturn 'g' .. 'g' end\n", ">> ", "> ")
    leave()
    local file = assert(io.open(home .. "/convlua/history"))
    assert.equal("first = 1\nfunction g()\\nreturn 'g' .. 'g' end\nos.exit(true, true)\n",
      file:read "a")
    file:close()
    local pipe = io.popen("stat -c '%a' " .. home .. "/convlua/history " .. home .. "/convlua")
    assert.equal("600\n700\n", pipe:read "a")
    pipe:close()

    t = command.terminal { before = "XDG_STATE_HOME=" .. home }
    t:wait "> "
    t:enter("\27[A\27[A\27[A\n", "first = 1", "> ")
    t:enter("first + 1\n", "2")
    leave()
  end)

  it("ends at once at a second Ctrl-C that the chunk survives", function()
    t:enter("print 'go' while true do pcall(function() while true do end end) end\n", "go\r\n")
    t:type "\3"
    command.pause(0.3)
    t:type "\3"
    assert.equal(130, t:close())
  end)
end)

describe("a plain terminal", function()
  it("reads lines without editing", function()
    for _, o in ipairs { { term = "dumb" }, { line = "-n" } } do
      local t = command.terminal(o)
      t:wait "> "
      t:enter("1 + 1\n", "2\r\n> ")
      t:enter("half\3", "> ")
      t:enter("print 'go' while true do end\n", "go\r\n")
      t:enter("\3", "interrupted!", "> ")
      t:enter("os.exit(true, true)\n", "os.exit")
      assert.equal(0, t:close())
    end
  end)
end)
