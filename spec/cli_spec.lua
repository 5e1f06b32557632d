-- The command line: what a user may write behind `convlua`.

local command = require "spec.support.command"
local run, with_file = command.run, command.with_file

describe("convlua -e", function()
  it("runs code with the library at hand and does not open the prompt", function()
    local r = run { "-e", "print(1 + 1, type(convlua))" }
    assert.same({ out = "2\ttable\n", err = "", status = 0 }, r)
  end)

  it("may be repeated, glued to its code, and followed by a script", function()
    with_file("print(x, ...)", function(path)
      assert.equal("3\ta\tb\n", run({ "-e", "x = 1", "-ex = x + 2", path, "a", "b" }).out)
    end)
  end)

  it("tells an error with a traceback and status 1", function()
    local r = run { "-e", "local function f() error 'boom' end f()" }
    assert.equal(1, r.status)
    assert.matches("^convlua: %(command line%):1: boom\nstack traceback:\n", r.err)
    assert.matches("in main chunk\n$", r.err)
    assert.is_nil(r.err:find "lua/convlua")
  end)

  it("tells a syntax error", function()
    local r = run { "-e", "x = = 1" }
    local message = "convlua: (command line):1: unexpected symbol near '='\n"
    assert.same({ out = "", err = message, status = 1 }, r)
  end)
end)

describe("convlua script", function()
  it("gets its arguments as ... and in arg, as under lua5.4", function()
    with_file("print(select('#', ...), ..., #arg, arg[1], arg[2])", function(path)
      assert.equal("2\tone\t2\tone\t-e\n", run({ path, "one", "-e" }).out)
    end)
    with_file("print(arg[0])", function(path)
      assert.equal(path .. "\n", run({ path }).out)
    end)
  end)

  it("has the program before it in arg", function()
    with_file("print(arg[-1]:match '[^/]*$', arg[-2])", function(path)
      assert.equal("convlua\tnil\n", run({ path }).out)
    end)
  end)

  it("comes from standard input for -", function()
    local r = run({ "-", "a" }, { input = "print(arg[0], ...)" })
    assert.equal("-\ta\n", r.out)
  end)

  it("may start with #!", function()
    with_file("#!/usr/bin/env convlua\nprint 'ran'", function(path)
      assert.equal("ran\n", run({ path }).out)
    end)
  end)

  it("that is not there is an error", function()
    local r = run { "no/such/file.lua" }
    assert.equal(1, r.status)
    assert.matches("^convlua: cannot open no/such/file%.lua", r.err)
  end)

  it("ends with the status of os.exit, finalizers run", function()
    local code = [[
      local guard <close> = setmetatable({}, { __close = function() io.write "closed " end })
      X = setmetatable({}, { __gc = function() io.write "collected" end })
      coroutine.wrap(function() os.exit(7, true) end)()]]
    with_file(code, function(path)
      local r = run { path }
      assert.equal(7, r.status)
      assert.matches("collected", r.out)
    end)
  end)

  it("may raise anything", function()
    assert.matches("error object is a table value", run({ "-e", "error {}" }).err)
    assert.matches("error object is a nil value", run({ "-e", "error()" }).err)
    assert.matches("as text", run({ "-e",
      "error(setmetatable({}, { __tostring = function() return 'as text' end }))" }).err)
  end)

  it("ends with status 130 when interrupted, also in a coroutine, and tells where", function()
    local r = run({ "-e", [[
      io.popen("sleep 0.3; kill -INT " .. io.open("/proc/self/stat"):read "n")
      coroutine.wrap(function() while true do end end)()]] })
    assert.equal(130, r.status)
    assert.matches("interrupted!", r.err)
  end)

  it("ends at once at a second interrupt that Lua does not get to see", function()
    local r = run({ "-e", [[
      local kill = "sleep 0.3; kill -INT " .. io.open("/proc/self/stat"):read "n"
      io.popen(kill .. ";" .. kill)
      while true do pcall(function() while true do end end) end]] })
    assert.equal(130, r.status)
    assert.equal("", r.err)
  end)
end)

describe("a guard of convlua.core.signal", function()
  local prelude = [[
    local signal = require "convlua.core.signal"
    local pid = io.open("/proc/self/stat"):read "n"
    local function send(name) io.popen("kill -" .. name .. " " .. pid):close() end
  ]]

  it("notes a signal instead of raising it", function()
    local r = run { "-e", prelude .. [[
      print(signal.guard(true), signal.interrupted())
      send "INT"
      print(signal.interrupted())
      signal.clear()
      send "TERM"
      print(signal.interrupted())
      print(signal.guard(false), signal.interrupted())]] }
    assert.same({ out = "false\tnil\n2\n15\ntrue\t15\n", err = "", status = 0 }, r)
  end)

  it("lets the second signal end the process", function()
    local function status(second)
      local code = "signal.guard(true) send 'INT' send '" .. second .. "' print 'alive'"
      return run({ "-e", prelude .. code }).status
    end
    assert.same({ 130, 143 }, { status "INT", status "TERM" })
  end)

  it("may nest, and gives the signals back at its end", function()
    local r = run { "-e", prelude .. [[
      local outer = signal.guard(true)
      local inner = signal.guard(true)
      signal.guard(inner)
      send "INT"
      print(signal.interrupted())
      signal.clear()
      signal.guard(outer)
      print(pcall(function() send "INT" for _ = 1, 1e3 do end end))]] }
    assert.matches("^2\nfalse\t.*interrupted!\n$", r.out)
  end)
end)

describe("options", function()
  it("that are unknown, lack a value or have a wrong one give status 2 and a reason", function()
    for _, case in ipairs {
      { { "--bogus" }, "unknown option '--bogus'" },
      { { "-x" }, "unknown option '-x'" },
      { { "-e" }, "option '-e' needs a value" },
      { { "--help=yes" }, "option '--help' takes no value" },
      { { "--threads", "0" }, "--threads must be a whole number from 1 to 256, got '0'" },
      { { "--threads=two" }, "--threads must be a whole number from 1 to 256, got 'two'" },
      { { "--seed", "1.5" }, "--seed must be a whole number, got '1.5'" },
      { { "--device", "gpu" }, "--device must be cpu, cuda or cuda:N, got 'gpu'" },
    } do
      local r = run(case[1])
      assert.same({ 2, "convlua: " .. case[2] .. "\nTry 'convlua --help'.\n" }, { r.status, r.err })
    end
  end)

  it("tell the version and the usage", function()
    assert.matches("^convlua %d+%.%d+%.%d+, Lua 5%.4\n$", run({ "--version" }).out)
    assert.matches("^usage: convlua ", run({ "-h" }).out)
  end)

  it("set the number of threads", function()
    local code = "print(require 'convlua.core'.threads())"
    assert.equal("3\n", run({ "--threads", "3", "-e", code }).out)
    assert.equal("2\n", run({ "-e", code }, { before = "CONVLUA_THREADS=2" }).out)
    assert.equal("1\n", run({ "--threads=1", "-e", code }, { before = "CONVLUA_THREADS=2" }).out)
  end)

  it("set the seed", function()
    local code = "print(convlua.rand{2}:sum():item())"
    local one = run({ "--seed", "7", "-e", code }).out
    assert.equal(one, run({ "--seed=7", "-e", code }).out)
    assert.not_equal(one, run({ "--seed=8", "-e", code }).out)
  end)

  it("choose the device, and say what is wrong with one", function()
    local code = "print(convlua.device.default())"
    assert.equal("cpu\n", run({ "--device", "cpu", "-e", code }).out)
    local r = run { "--device", "cuda:15", "-e", code }
    assert.equal(1, r.status)
    assert.matches("^convlua: %-%-device: device 'cuda", r.err)
  end)

  it("load modules with -l", function()
    assert.equal("function\n", run({ "-l", "convlua.pretty", "-e", "print(type(pretty))" }).out)
  end)
end)

describe("the environment", function()
  it("is checked", function()
    for _, case in ipairs {
      { "CONVLUA_THREADS=many",
        "CONVLUA_THREADS must be a whole number from 1 to 256, got 'many'" },
      { "CONVLUA_THREADS=999999999999999999999", "got '999999999999999999999'" },
      { "CONVLUA_ISA=mmx", "CONVLUA_ISA: " },
      { "CONVLUA_CONV=fft",
        "CONVLUA_CONV: unknown convolution algorithm 'fft' (expected direct, dots, grouped, lines, subpixel, winograd or gemm)" },
    } do
      local r = run({ "-e", "" }, { before = case[1] })
      assert.equal(2, r.status)
      assert.truthy(r.err:find(case[2], 1, true), r.err)
    end
  end)

  it("may hold empty values", function()
    local empty = "CONVLUA_THREADS= CONVLUA_ISA= CONVLUA_CONV="
    assert.equal(0, run({ "-e", "" }, { before = empty }).status)
  end)
end)

describe("commands", function()
  it("doctor tells what was found", function()
    local r = run { "doctor" }
    assert.equal(0, r.status)
    for _, name in ipairs { "processor", "threads", "memory", "BLAS", "cuda", "CIFAR%-10" } do
      assert.matches("\n" .. name .. " +%S", r.out)
    end
  end)
end)

describe("convlua summary", function()
  it("shows a model of a module", function()
    local r = run { "summary", "models.lenet" }
    assert.same({ "", 0 }, { r.err, r.status })
    assert.matches("conv1 +Conv2D +28 x 28 x 6 +456", r.out)
    assert.matches("\ntotal +.*62,006", r.out)
  end)

  it("takes a name, an input and options, and tells what else there is", function()
    assert.matches("ResNet18 of models.resnet; there are ResNet, ResNet18, ResNet34,",
      run({ "summary", "models.resnet" }).out)
    assert.matches("\ntotal +.*21,797,672", run({
      "summary", "models.resnet", "ResNet34", "--input=224x224x3", "class_count=1000",
    }).out)
  end)

  it("refuses what makes no sense", function()
    for message, arguments in pairs {
      ["which module?"] = {},
      ["--input must be sizes joined by x, got '32x'"] = { "models.lenet", "--input", "32x" },
      ["models.lenet has no model 'LeNot'; it has: LeNet"] = { "models.lenet", "LeNot" },
      ["unknown option '--outptu'"] = { "models.lenet", "--outptu" },
    } do
      local r = run { "summary", table.unpack(arguments) }
      assert.equal(2, r.status)
      assert.truthy(r.err:find(message, 1, true), r.err)
    end
  end)
end)

describe("the sources inside the program", function()
  it("are found by require from anywhere", function()
    local r = run({ "-e", "print(type(require 'convlua.pretty'))" }, { before = "cd / &&" })
    assert.equal("function\n", r.out)
  end)

  it("give way to a model in ./models", function()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir -p " .. folder .. "/models")
    local file = assert(io.open(folder .. "/models/lenet.lua", "w"))
    file:write "return 'my own'"
    file:close()
    local r = run({ "-e", "print(require 'models.lenet')" }, { before = "cd " .. folder .. " &&" })
    os.execute("rm -r " .. folder)
    assert.equal("my own\t./models/lenet.lua\n", r.out)
  end)

  it("are in the module for stock Lua as well", function()
    local folder = require "convlua.core.env".program():match "^(.*)/"
    local code = "print(type(require 'convlua'), type(require 'convlua.pretty'))"
    local pipe = io.popen("ldd " .. folder .. "/convlua.so | awk '/lib[at]san/ { print $3 }'")
    local sanitizer = pipe:read "l" or "" -- must come first in a program that was built without
    pipe:close()
    local r = run({ "-e", code }, { program = "lua5.4",
      before = ("LD_PRELOAD='%s' LUA_CPATH_5_4='%s/?.so'"):format(sanitizer, folder) })
    assert.same({ out = "table\tfunction\n", err = "", status = 0 }, r)
  end)
end)
