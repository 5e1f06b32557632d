-- Archives of arrays: what is written comes back, NumPy agrees, and strangers' files do no harm.

local convlua = require "convlua"
local files = require "convlua.io"
local folder = require "spec.support.folder"
local with, read, write = folder.with, folder.read, folder.write

local function u16(n) return string.pack("<I2", n) end
local function u32(n) return string.pack("<I4", n) end

local function crc32(s)
  local c = 0xffffffff
  for i = 1, #s do
    c = c ~ s:byte(i)
    for _ = 1, 8 do c = (c >> 1) ~ (0xedb88320 & -(c & 1)) end
  end
  return c ~ 0xffffffff
end

-- A zip of stored entries, { { name, bytes }, ... }; claim: sizes to lie about, by name.
local function zip(entries, claim)
  local body, directory, at = {}, {}, 0
  for _, entry in ipairs(entries) do
    local name, bytes = entry[1], entry[2]
    local size = claim and claim[name] or #bytes
    local common = u16(20) .. u16(0) .. u16(0) .. u16(0) .. u16(0x21) .. u32(crc32(bytes))
      .. u32(size) .. u32(size) .. u16(#name) .. u16(0)
    body[#body + 1] = "PK\3\4" .. common .. name .. bytes
    directory[#directory + 1] = "PK\1\2" .. u16(20) .. common .. u16(0) .. u16(0) .. u16(0)
      .. u32(0) .. u32(at) .. name
    at = at + #body[#body]
  end
  local list = table.concat(directory)
  return table.concat(body) .. list .. "PK\5\6" .. u16(0) .. u16(0) .. u16(#entries)
    .. u16(#entries) .. u32(#list) .. u32(at) .. u16(0)
end

local function npy(header, data)
  local text = header .. (" "):rep((-(#header + 11)) % 64) .. "\n"
  return "\x93NUMPY\1\0" .. u16(#text) .. text .. (data or "")
end

local function described(descr, shape, fortran)
  return ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"):format(
    descr, fortran and "True" or "False", shape)
end

-- What load_npz makes of these bytes: true and the tensors, or false and the error.
local function load(bytes)
  local path = os.tmpname()
  write(path, bytes)
  local ok, result = pcall(files.load_npz, path)
  os.remove(path)
  if not ok then assert(result:find(path, 1, true), "the file is not named: " .. result) end
  return ok, result
end

local function refused(bytes, why)
  local ok, message = load(bytes)
  assert.raises_like(function() return ok or error(message, 0) end, why)
end

describe("an .npz archive", function()
  it("gives back every element type and shape", function()
    local tensors = {
      ["layers/1.conv.filter"] = convlua.randn(3, 3, 2, 4),
      double = convlua.tensor({ { 1.5, -2.25 } }, "float64"),
      int = convlua.tensor({ -1, 2147483647 }, "int32"),
      long = convlua.tensor({ -1, 9007199254740993 }, "int64"),
      byte = convlua.tensor({ 0, 255 }, "uint8"),
      bool = convlua.tensor { true, false },
      brain = convlua.tensor({ 1, -0.5 }, "bfloat16"),
      half = convlua.tensor({ 1, -0.5 }, "float16"),
      scalar = convlua.tensor(3.5),
      empty = convlua.zeros(0, 3),
    }
    with(function(path)
      files.save_npz(path .. "/x.npz", tensors)
      local back = files.load_npz(path .. "/x.npz")
      for name, x in pairs(tensors) do
        assert.equal(x.dtype, back[name].dtype)
        assert.same(x.shape, back[name].shape)
        assert.equal(x:to_bytes(), back[name]:to_bytes())
        back[name] = nil
      end
      assert.is_nil(next(back))
    end)
  end)

  it("stores strided views by their elements", function()
    local x = convlua.arange(1, 6):reshape(2, 3):transpose(1, 2)
    with(function(path)
      files.save_npz(path .. "/x.npz", { x = x })
      assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, files.load_npz(path .. "/x.npz").x:to_table())
    end)
  end)

  it("has the same bytes for the same tensors, whatever their order", function()
    with(function(path)
      local names, one, two = {}, {}, {}
      for i = 1, 20 do names[i] = "name" .. i * i end
      for i = 1, 20 do one[names[i]] = convlua.full({ i }, i) end
      for i = 20, 1, -1 do two[names[i]] = convlua.full({ i }, i) end
      files.save_npz(path .. "/1.npz", one)
      files.save_npz(path .. "/2.npz", two)
      assert.equal(files.sha1(read(path .. "/1.npz")), files.sha1(read(path .. "/2.npz")))
    end)
  end)

  it("tells names, shapes and types without reading the data", function()
    with(function(path)
      files.save_npz(path .. "/x.npz", { a = convlua.zeros(2, 3), b = convlua.tensor(1, "int64") })
      assert.same({
        a = { shape = { 2, 3 }, dtype = "float32" },
        b = { shape = {}, dtype = "int64" },
      }, files.npz_info(path .. "/x.npz"))
    end)
  end)

  it("is NumPy's: both read the other's, in any byte and memory order, deflated too", function()
    local python = "/usr/bin/python3"
    if not os.execute(python .. " -c 'import numpy' 2>/dev/null") then
      return pending "python3-numpy is not installed"
    end
    with(function(path)
      files.save_npz(path .. "/x.npz", { ["a/b"] = convlua.arange(1, 6):reshape(2, 3),
        brain = convlua.tensor({ 1, -0.5 }, "bfloat16"), half = convlua.tensor({ 1, -0.1 }, "float16") })
      write(path .. "/t.py", [==[
import numpy as np, sys
p = sys.argv[1]
a = np.load(p + "/x.npz")["a/b"]
assert a.dtype == np.int64 and a.tolist() == [[1, 2, 3], [4, 5, 6]], a
b = np.load(p + "/x.npz")["brain"].view(np.uint16).astype(np.uint32) << 16
assert b.view(np.float32).tolist() == [1, -0.5], b
h = np.load(p + "/x.npz")["half"]
assert h.dtype == np.float16 and h.tolist() == np.array([1, -0.1], np.float16).tolist(), h
n = dict(big=np.arange(6, dtype=">f4").reshape(2, 3), scalar=np.array(7),
         fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)), flag=np.array([True, False]))
np.savez(p + "/stored.npz", **n)
np.savez_compressed(p + "/deflated.npz", **n)
]==])
      assert(os.execute(("%s %s/t.py %s"):format(python, path, path)))
      for _, name in ipairs { "stored", "deflated" } do
        local t = files.load_npz(path .. "/" .. name .. ".npz")
        assert.same({ { 0, 1, 2 }, { 3, 4, 5 } }, t.big:to_table())
        assert.same({ { 0, 1, 2 }, { 3, 4, 5 } }, t.fortran:to_table())
        assert.same({ true, false }, t.flag:to_table())
        assert.equal(7, t.scalar:item())
      end
    end)
  end)
end)

describe("saving", function()
  it("wants names and tensors", function()
    local function save(t) return function() files.save_npz("never.npz", t) end end
    assert.raises_like(save { a = 1 }, "'a': tensor expected, got number")
    assert.raises_like(save { convlua.zeros(1) }, "keys must be names")
    assert.raises_like(save { [""] = convlua.zeros(1) }, "keys must be names")
    assert.raises_like(save { ["a\0b"] = convlua.zeros(1) }, "keys must be names")
    assert.raises_like(save(nil), "table expected")
    local freed = convlua.zeros(1)
    freed:free()
    assert.raises_like(save { a = freed }, "'a': tensor expected, got freed tensor")
  end)

  it("names file and reason when it cannot write", function()
    assert.raises_like(function() files.save_npz("/no/such/x.npz", { a = convlua.zeros(1) }) end,
      "cannot create '/no/such/x.npz': No such file or directory")
  end)

  it("in the background keeps the values of the moment", function()
    with(function(path)
      local x = convlua.ones(1000)
      files.save_npz_async(path .. "/x.npz", { x = x })
      x:fill_(2)
      files.wait()
      assert.is_false(files.busy())
      assert.equal(1000, files.load_npz(path .. "/x.npz").x:sum():item())
    end)
  end)

  it("in the background tells its failure at the next call, once", function()
    local t = { a = convlua.zeros(1) }
    files.save_npz_async("/no/such/x.npz", t)
    assert.raises_like(files.wait, "cannot create '/no/such/x.npz'")
    files.wait()
    files.save_npz_async("/no/such/x.npz", t)
    assert.raises_like(function() files.save_npz_async("/no/such/y.npz", t) end, "/no/such/x.npz")
    files.wait()
  end)

  it("gives back all memory", function()
    with(function(path)
      local t = { a = convlua.zeros(1000), b = convlua.zeros(10, 10):transpose(1, 2) }
      files.save_npz_async(path .. "/x.npz", t)
      files.wait()
      collectgarbage()
      local live = convlua.memory.live()
      files.save_npz(path .. "/x.npz", t)
      files.save_npz_async(path .. "/x.npz", t)
      files.wait()
      pcall(files.save_npz, "/no/such/x.npz", t)
      collectgarbage()
      assert.equal(live, convlua.memory.live())
    end)
  end)
end)

describe("a stranger's archive", function()
  it("is refused when it is not whole", function()
    local bytes = zip { { "a.npy", npy(described("<f4", "(2,)"), "12345678") } }
    local _, tensors = load(bytes)
    assert.same({ 2 }, tensors.a.shape)
    for size = 0, #bytes - 1 do refused(bytes:sub(1, size), "is not a whole .npz file") end
  end)

  it("is refused when a byte of data has changed", function()
    local bytes = zip { { "a.npy", npy(described("<f4", "(2,)"), "12345678") } }
    local at = bytes:find("12345678", 1, true)
    for i = at, at + 7 do
      refused(bytes:sub(1, i - 1) .. "X" .. bytes:sub(i + 1), "CRC error")
    end
  end)

  it("cannot ask for more memory than it has bytes to back", function()
    local huge = npy(described("<f4", "(1000000000,)"), "1234")
    refused(zip { { "a.npy", huge } }, "its header asks for 4000000000 bytes, it has 4")
    refused(zip({ { "a.npy", huge } }, { ["a.npy"] = #huge + 3999999996 }), "not a whole .npz")
  end)

  it("cannot make us execute or guess", function()
    local cases = {
      [described("|O", "(1,)")] = "pickled Python objects ('|O'), which are never loaded",
      [described("<c8", "(1,)")] = "element type '<c8' is not supported (expected f2, f4, f8, i4, i8",
      [described("<U8", "(1,)")] = "element type '<U8' is not supported",
      ["{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"] =
        "structured element types are not supported",
      [described("<f4", "(1,1,1,1,1,1,1,1,1)")] = "more than 8 axes",
      [described("<f4", "(-1,)")] = "shape holds something else than sizes",
      [described("<f4", "(99999999999999999999,)")] = "shape holds something else than sizes",
      [described("<f4", "(4294967296, 4294967296)")] = "larger than any memory",
      [described("<f4", "(0, 4294967296, 4294967296)")] = "larger than any memory",
      [described("<f4", "(1)")] = "shape is a number, not a tuple",
      [described("<f4", "1")] = "shape is not a tuple",
      [described("<f4", "(1,), 'shape': (1,)")] = "an unknown or repeated key",
      ["{'descr': '<f4', 'shape': (1,), }"] = "a key is missing",
      ["{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }"] = "neither True nor False",
      [described("<f4", "(1,)") .. " + __import__('os')"] = "text after the dict",
      ["__import__('os').system('true')"] = "no dict",
      [(" "):rep(20000)] = "the .npy header has",
    }
    for header, why in pairs(cases) do
      refused(zip { { "a.npy", npy(header, "1234") } }, why)
    end
    refused(zip { { "a.npy", "PK" } }, "not a .npy array")
    refused(zip { { "data.pkl", "cos\nsystem" } }, "holds 'data.pkl', which is not a NumPy array")
    local one = npy(described("<f4", "(1,)"), "1234")
    refused(zip { { "a.npy", one }, { "a.npy", one } }, "a name occurs twice")
    refused("not a zip at all", "is not a whole .npz file")
  end)

  it("is refused when it is no regular file", function()
    with(function(path)
      assert.raises_like(function() files.load_npz(path) end, "it is not a regular file")
      assert.raises_like(function() files.load_npz(path .. "/none.npz") end, "No such file")
      os.execute(("mkfifo '%s/fifo'"):format(path))
      assert.raises_like(function() files.load_npz(path .. "/fifo") end, "not a regular file")
    end)
  end)

  it("does no harm with bytes changed at random", function()
    local random = math.random
    math.randomseed(1)
    with(function(path)
      files.save_npz(path .. "/x.npz", { a = convlua.zeros(3, 4), b = convlua.ones(5) })
      local bytes = read(path .. "/x.npz")
      collectgarbage()
      local live = convlua.memory.live()
      for _ = 1, 400 do
        local changed = { bytes:byte(1, -1) }
        for _ = 1, random(4) do changed[random(#changed)] = random(0, 255) end
        write(path .. "/y.npz", string.char(table.unpack(changed)))
        pcall(files.load_npz, path .. "/y.npz")
      end
      collectgarbage()
      assert.equal(live, convlua.memory.live())
    end)
  end)
end)
