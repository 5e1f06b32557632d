-- Data sets: CIFAR-10's files and their official checksums, and the procedural Shapes10.

local convlua = require "convlua"
local data = require "convlua.core.data"
local files = require "convlua.io"
local folder = require "spec.support.folder"

local sums = {
  ["data_batch_1.bin"] = "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
  ["data_batch_2.bin"] = "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
  ["data_batch_3.bin"] = "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
  ["data_batch_4.bin"] = "aab85764eb3584312d3c7f65fd2fd016e36a258e",
  ["data_batch_5.bin"] = "26e2849e66a845b7f1e4614ae70f4889ae604628",
  ["test_batch.bin"] = "67eb016db431130d61cd03c7ad570b013799c88c",
}

local function cifar_folder()
  for _, root in ipairs { os.getenv "CONVLUA_DATA" or "", "data", "../shared/data" } do
    local path = root .. "/cifar-10-batches-bin"
    if files.stat(path .. "/test_batch.bin") then return path end
  end
end

-- A file of 10,000 records: label i mod 10, red i mod 256, green the row, blue the column.
local function made()
  local green, blue = {}, {}
  for i = 0, 31 do
    green[i + 1] = string.char(i):rep(32)
    blue[i + 1] = string.char(i)
  end
  local planes = table.concat(green) .. table.concat(blue):rep(32)
  local records = {}
  for i = 0, 9999 do
    records[i + 1] = string.char(i % 10) .. string.char(i % 256):rep(1024) .. planes
  end
  return records
end

describe("SHA-1", function()
  it("gives the sums of FIPS 180-4's examples", function()
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", files.sha1 "abc")
    assert.equal("da39a3ee5e6b4b0d3255bfef95601890afd80709", files.sha1 "")
    assert.equal("84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      files.sha1 "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
    assert.equal("34aa973cd4c4daa4f61eeb2bdbad27316534016f", files.sha1(("a"):rep(1000000)))
  end)

  it("gives sha1sum's at every length around a block", function()
    local pipe = io.popen [[for n in $(seq 50 70) $(seq 115 130); do
      head -c $n /dev/zero | tr '\0' x | sha1sum | cut -c1-40; done]]
    for n = 50, 130 do
      if n <= 70 or n >= 115 then assert.equal(pipe:read "l", files.sha1(("x"):rep(n))) end
    end
    pipe:close()
  end)
end)

describe("a CIFAR-10 batch", function()
  local records = made()

  it("becomes images with channels last and labels from 1", function()
    folder.with(function(path)
      folder.write(path .. "/a.bin", table.concat(records))
      local x, y = data.cifar10 { path .. "/a.bin", path .. "/a.bin" }
      assert.same({ 20000, 32, 32, 3 }, x.shape)
      assert.equal("uint8", x.dtype)
      assert.same({ 20000 }, y.shape)
      assert.equal("int64", y.dtype)
      local bytes, labels = x:to_bytes(), y:to_table()
      for _, n in ipairs { 0, 1, 255, 256, 9999, 10000, 19999 } do
        assert.equal(n % 10000 % 10 + 1, labels[n + 1])
        for _, p in ipairs { 0, 1, 31, 32, 33, 1023 } do
          local red, green, blue = bytes:byte(n * 3072 + p * 3 + 1, n * 3072 + p * 3 + 3)
          assert.same({ n % 10000 % 256, p // 32, p % 32 }, { red, green, blue })
        end
      end
    end)
  end)

  it("of a wrong size, or with a wrong label, is refused by file and record", function()
    folder.with(function(path)
      local file = path .. "/a.bin"
      local function refused(bytes, why)
        folder.write(file, bytes)
        assert.raises_like(function() data.cifar10 { file } end, why)
        assert.raises_like(function() data.cifar10 { file } end, file)
      end
      local bytes = table.concat(records)
      refused(bytes:sub(1, -2), "has 30729999 bytes, expected 30730000")
      refused(bytes .. "x", "has 30730001 bytes")
      refused("", "has 0 bytes")
      records[7000], records[7001] = "\10" .. records[7000]:sub(2), "\255" .. records[7001]:sub(2)
      refused(table.concat(records), "record 7000: label 10 is above 9, the highest class")
      assert.raises_like(function() data.cifar10 { path .. "/none" } end, "No such file")
      assert.raises_like(function() data.cifar10 { path } end, "not a regular file")
      assert.raises_like(function() data.cifar10 {} end, "a list of 1 to 100 files expected")
      assert.raises_like(function() data.cifar10 { 1 } end, "entry 1 is not a file's name")
    end)
  end)

  it("has the names of its classes", function()
    assert.same({ "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
      "truck" }, data.cifar10_names)
  end)
end)

describe("the real CIFAR-10", function()
  it("has the official checksums, 5000 or 1000 of each class, and the known mean", function()
    local path = cifar_folder()
    if not path then return pending "CIFAR-10 is not on this machine" end
    for name, sum in pairs(sums) do files.check_sha1(path .. "/" .. name, sum, 30730000) end
    assert.raises_like(function()
      files.check_sha1(path .. "/test_batch.bin", sums["data_batch_1.bin"])
    end, "has the SHA-1 " .. sums["test_batch.bin"] .. ", expected aadd24ac")
    local training = {}
    for i = 1, 5 do training[i] = ("%s/data_batch_%d.bin"):format(path, i) end
    local counts = {}
    local x, y = data.cifar10(training)
    for _, label in ipairs(y:to_table()) do counts[label] = (counts[label] or 0) + 1 end
    for label = 1, 10 do assert.equal(5000, counts[label]) end
    local _, validation = data.cifar10 { path .. "/test_batch.bin" }
    assert.same({ 4, 9, 9, 1, 7 }, table.move(validation:to_table(), 1, 5, 1, {}))
    local red = x:reshape(-1, 3):transpose(1, 2):contiguous():reshape(3, -1)
    local total = red:to("float32"):sum(2):to_table()
    assert.close({ 0.49140, 0.48216, 0.44653 },
      { total[1] / 51200000 / 255, total[2] / 51200000 / 255, total[3] / 51200000 / 255 }, 1e-4)
  end)
end)

describe("Shapes10", function()
  it("is a function of seed and index alone", function()
    local x, y = data.shapes10 { count = 40, seed = 9 }
    local a, b = data.shapes10 { count = 15, seed = 9, first = 21 }
    assert.equal(x:to_bytes():sub(20 * 3072 + 1, 35 * 3072), a:to_bytes())
    assert.equal(y:to_bytes():sub(20 * 8 + 1, 35 * 8), b:to_bytes())
    local other = data.shapes10 { count = 40, seed = 10 }
    assert.not_equal(x:to_bytes(), other:to_bytes())
  end)

  it("has the same bytes for any number of threads", function()
    local before, found = convlua.threads(), {}
    for n = 1, 3 do
      convlua.threads(n)
      found[n] = files.sha1((data.shapes10 { count = 100 }):to_bytes())
    end
    convlua.threads(before)
    assert.same({ found[1], found[1], found[1] }, found)
  end)

  it("has ten classes in turn, from 1, with names", function()
    local x, y = data.shapes10 { count = 30 }
    assert.same({ 30, 32, 32, 3 }, x.shape)
    assert.equal("uint8", x.dtype)
    for i, label in ipairs(y:to_table()) do assert.equal((i - 1) % 10 + 1, label) end
    assert.equal(10, #data.shapes10_names)
    assert.equal("disc", data.shapes10_names[1])
  end)

  it("refuses options that make no sense", function()
    assert.raises_like(function() data.shapes10 {} end, "option 'count' is missing")
    assert.raises_like(function() data.shapes10 { count = -1 } end, "count must be 0..2^32, got -1")
    assert.raises_like(function() data.shapes10 { count = 1, first = 0 } end,
      "first must be positive, got 0")
  end)
end)
