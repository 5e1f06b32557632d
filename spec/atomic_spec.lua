-- A file that is replaced is at every instant the old one or the new one, whole: killed at each
-- system call of the write, refused by the system at each, and with nothing left behind.

local files = require "convlua.io"
local convlua = require "convlua"
local env = require "convlua.core.env"
local command = require "spec.support.command"
local folder = require "spec.support.folder"
local with, read, write = folder.with, folder.read, folder.write

local strace = os.execute "strace -qq -e trace=none true 2>/dev/null"

-- Under a tracer the leak check of the sanitizers cannot work.
local quiet = "ASAN_OPTIONS=detect_leaks=0 "

-- A checkpoint is written over an older one by a program of its own.
local program = [[
local convlua = require "convlua"
require("convlua.io").save_npz(arg[1], { w = convlua.full({ 5000 }, 2), b = convlua.ones(3) })
]]

local function old_checkpoint(path)
  files.save_npz(path, { w = convlua.full({ 5000 }, 1), b = convlua.ones(3) })
end

-- Which checkpoint is at `path`: 1 the old, 2 the new. Fails when it is neither.
local function version(path)
  local bytes = files.load_npz(path).w:to_bytes()
  local number = string.unpack("<f", bytes)
  assert.equal(string.pack("<f", number):rep(5000), bytes)
  return number
end

-- Calls by which an allocator gets memory: alloc_spec lets allocations fail. A sanitizer's own aborts the program.
local of_memory = { mmap = true, munmap = true, mprotect = true, madvise = true, brk = true }

-- The other system calls that the program makes from the creation of its temporary file on, as
-- { name =, nth = } where nth counts the calls of that name since the program's start.
local function calls_of_the_write(path)
  local log = path .. "/log"
  local script, target = path .. "/save.lua", path .. "/x.npz"
  assert(os.execute(("%s strace -o %s '%s' %s %s"):format(
    quiet, log, env.program(), script, target)))
  local count, calls, begun, ended = {}, {}, false, false
  for line in read(log):gmatch "[^\n]+" do
    local name = line:match "^([%w_]+)%("
    if name and not of_memory[name] then
      count[name] = (count[name] or 0) + 1
      begun = begun or line:find(".x.npz.tmp-", 1, true) ~= nil
      if begun and not ended then calls[#calls + 1] = { name = name, nth = count[name] } end
      if name == "rename" then ended = 3 end -- the directory is opened, synced and closed
      if ended then ended = ended > 0 and ended - 1 end
    end
  end
  return calls
end

local function inject(path, call, what)
  local r = command.run({ path .. "/save.lua", path .. "/x.npz" }, {
    before = ("%s strace -o /dev/null -e trace=%s -e inject=%s:%s:when=%d"):format(
      quiet, call.name, call.name, what, call.nth),
  })
  return r
end

local function temporary(path)
  local found = 0
  for _, name in ipairs(files.list_folder(path)) do
    if name:find ".tmp%-%d+%.%d+$" then found = found + 1 end
  end
  return found
end

describe("a checkpoint that is overwritten", function()
  local function each_call(use)
    if not strace then return pending "strace is not installed" end
    with(function(path)
      write(path .. "/save.lua", program)
      old_checkpoint(path .. "/x.npz")
      local calls = calls_of_the_write(path)
      local names = {}
      for _, call in ipairs(calls) do names[call.name] = true end
      for _, name in ipairs { "openat", "write", "fsync", "close", "rename" } do
        assert(names[name], "the write makes no " .. name)
      end
      for _, call in ipairs(calls) do
        old_checkpoint(path .. "/x.npz")
        use(path, call)
      end
    end)
  end

  it("is whole after a kill at any system call of the write #slow", function()
    local seen = {}
    each_call(function(path, call)
      local r = inject(path, call, "signal=KILL")
      assert.equal(137, r.status, r.err)
      seen[version(path .. "/x.npz")] = true
      files.sweep(path)
      assert.equal(0, temporary(path))
    end)
    if strace then assert.same({ true, true }, seen) end -- kills before and after the rename
  end)

  for _, errno in ipairs { "ENOSPC", "EIO" } do
    it("is whole after " .. errno .. " at any system call, and the error is told", function()
      local text = { ENOSPC = "No space left on device", EIO = "Input/output error" }
      local told = {}
      each_call(function(path, call)
        local r = inject(path, call, "error=" .. errno)
        version(path .. "/x.npz")
        assert.equal(0, temporary(path))
        if r.status ~= 0 then
          assert.matches("save_npz: cannot [%w ]+ '[^']*'", r.err)
          assert(r.err:find(text[errno], 1, true), r.err)
          told[call.name] = true
        end
      end)
      if strace then
        local all = { openat = true, write = true, fsync = true, close = true, rename = true }
        assert.same(all, told)
      end
    end)
  end

  it("goes on after an interrupted write or sync", function()
    each_call(function(path, call)
      if call.name ~= "write" and call.name ~= "fsync" then return end
      local r = inject(path, call, "error=EINTR")
      assert.equal(0, r.status, r.err)
      assert.equal(2, version(path .. "/x.npz"))
    end)
  end)

  it("stays when the file may not grow so large", function()
    with(function(path)
      write(path .. "/save.lua", program)
      old_checkpoint(path .. "/x.npz")
      local r = command.run({ path .. "/save.lua", path .. "/x.npz" }, {
        before = "ulimit -f 8;",
      })
      assert.equal(1, r.status)
      assert.matches("cannot write '.*x.npz': File too large", r.err)
      assert.equal(1, version(path .. "/x.npz"))
      assert.equal(0, temporary(path))
    end)
  end)
end)

describe("keep", function()
  it("gives a file a second name that stays when the first is written anew", function()
    with(function(path)
      local a, b = path .. "/a", path .. "/b"
      for _, text in ipairs { "one", "two" } do
        files.write_file(a, text)
        files.keep(a, b)
        files.keep(a, b) -- already so
        assert.equal(text, read(b))
      end
      files.write_file(a, "three")
      assert.equal("two", read(b))
      assert.same({ "a", "b" }, files.list_folder(path))
    end)
  end)

  it("says what is missing, and leaves nothing behind", function()
    with(function(path)
      assert.raises_like(function() files.keep(path .. "/a", path .. "/b") end,
        "/a': No such file or directory")
      write(path .. "/a", "x")
      assert.raises_like(function() files.keep(path .. "/a", path .. "/no/b") end, "No such file")
      files.make_folder(path .. "/b")
      assert.raises_like(function() files.keep(path .. "/a", path .. "/b") end,
        "cannot put the file in place of '")
      assert.same({ "a", "b" }, files.list_folder(path))
    end)
  end)
end)

describe("sweep", function()
  it("removes what the dead have left, and nothing else", function()
    with(function(path)
      local dead = io.popen "echo $$"
      local pid = dead:read "n"
      dead:close()
      local stay = {
        "x.npz", ".x.npz", (".x.npz.tmp-%d"):format(pid), (".x.npz.tmp-%d.0.bak"):format(pid),
        ("x.npz.tmp-%d.0"):format(pid), ".x.npz.tmp-1.0", ".x.npz.tmp-0.0", ".x.npz.tmp--5.0",
      }
      for _, name in ipairs(stay) do write(path .. "/" .. name, "") end
      write(path .. ("/.x.npz.tmp-%d.0"):format(pid), "")
      write(path .. ("/.a.tmp-b.tmp-%d.12"):format(pid), "")
      assert.equal(2, files.sweep(path))
      table.sort(stay)
      assert.same(stay, files.list_folder(path))
    end)
  end)

  it("names the folder that is not there", function()
    assert.raises_like(function() files.sweep "/no/such" end, "'/no/such': No such file")
  end)
end)

describe("write_file and read_file", function()
  it("keep every byte", function()
    with(function(path)
      local text = string.char(table.unpack((function()
        local t = {}
        for i = 0, 255 do t[i + 1] = i end
        return t
      end)()))
      files.write_file(path .. "/x", text)
      assert.equal(text, files.read_file(path .. "/x"))
      files.write_file(path .. "/x", "")
      assert.equal("", files.read_file(path .. "/x"))
      assert.same({ "x" }, files.list_folder(path))
    end)
  end)

  it("name the file and the reason", function()
    with(function(path)
      assert.raises_like(function() files.read_file(path) end, "it is not a regular file")
      assert.raises_like(function() files.read_file(path .. "/x") end, "No such file or directory")
      write(path .. "/x", "12345")
      assert.raises_like(function() files.read_file(path .. "/x", 4) end,
        "has 5 bytes, at most 4 are accepted")
      assert.raises_like(function() files.write_file(path .. "/", "") end, "does not name a file")
      assert.raises_like(function() files.write_file(path .. "/no/x", "") end, "cannot create")
      assert(os.execute(("mkdir '%s/full' && touch '%s/full/x'"):format(path, path)))
      assert.raises_like(function() files.write_file(path .. "/full", "") end,
        "cannot put the new file in place of")
      assert.same({ "full", "x" }, files.list_folder(path))
    end)
  end)
end)
