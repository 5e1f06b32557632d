-- Pictures in and out. spec/golden/images.lua holds small files and what Pillow makes of them.

local convlua = require "convlua"
local files = require "convlua.io"
local folder = require "spec.support.folder"
local golden = require "spec.golden.images"

local function bytes_of(hex)
  return (hex:gsub("%s", ""):gsub("%x%x", function(d) return string.char(tonumber(d, 16)) end))
end

local function from_golden()
  return convlua.from_bytes(bytes_of(golden.rgb), { golden.height, golden.width, 3 }, "uint8")
end

describe("decode_image", function()
  for name, case in pairs(golden.decode) do
    local file = bytes_of(case.file)

    it("gives Pillow's pixels for " .. name, function()
      local x = files.decode_image(file)
      assert.equal("uint8", x.dtype)
      assert.same({ golden.height, golden.width, 3 }, x.shape)
      assert.same({ bytes_of(case.rgb):byte(1, -1) }, { x:to_bytes():byte(1, -1) })
    end)

    it("refuses " .. name .. " that is cut short, at any byte", function()
      local ends = name:find "PNG" and #file - 12 or #file - 2 -- IEND, EOI: no pixels are lost
      for size = 0, ends - 1 do
        assert.raises_like(function() files.decode_image(file:sub(1, size), "cut.img") end,
          "'cut.img' is ")
      end
    end)
  end

  it("refuses CMYK and what is no picture", function()
    assert.raises_like(function() files.decode_image(bytes_of(golden.cmyk)) end,
      "is a CMYK JPEG; RGB or grey is expected")
    assert.raises_like(function() files.decode_image "GIF89a" end,
      "'image' is neither a JPEG nor a PNG file")
    assert.raises_like(function() files.decode_image "" end, "neither a JPEG nor a PNG")
  end)

  it("refuses a picture of impossible size before it makes room", function()
    local file = bytes_of(golden.decode["a JPEG"].file)
    local frame = file:find("\xff\xc0", 1, true) -- marker, length, precision, height, width
    local huge = file:sub(1, frame + 4) .. "\x80\0\x80\0" .. file:sub(frame + 9)
    assert.raises_like(function() files.decode_image(huge) end,
      "32768 x 32768 pixels, at most 67108864 are accepted")
  end)

  it("does no harm with bytes changed at random, and gives back all memory", function()
    math.randomseed(1)
    collectgarbage()
    local live = convlua.memory.live()
    for _, case in pairs(golden.decode) do
      local file = bytes_of(case.file)
      for _ = 1, 100 do
        local at = math.random(#file)
        pcall(files.decode_image,
          file:sub(1, at - 1) .. string.char(math.random(0, 255)) .. file:sub(at + 1))
      end
    end
    collectgarbage()
    assert.equal(live, convlua.memory.live())
  end)
end)

describe("a PNG", function()
  it("comes back as it was written", function()
    local x = from_golden()
    folder.with(function(path)
      files.write_png(path .. "/x.png", x)
      assert.equal(x:to_bytes(), files.read_image(path .. "/x.png"):to_bytes())
      assert.same({ "x.png" }, files.list_folder(path))
    end)
    assert.equal(x:to_bytes(), files.decode_image(files.encode_png(x)):to_bytes())
  end)

  it("wants bytes in three channels", function()
    local function encode(x) return function() files.encode_png(x) end end
    assert.raises_like(encode(convlua.zeros(4, 4, 3)),
      "uint8 {height, width, 3} expected, got float32 {4, 4, 3}")
    assert.raises_like(encode(convlua.zeros { 4, 4, dtype = "uint8" }), "got uint8 {4, 4}")
    assert.raises_like(encode(from_golden():transpose(1, 2)), "a dense tensor on the CPU expected")
    assert.raises_like(encode(convlua.zeros { 0, 4, 3, dtype = "uint8" }), "cannot encode an image")
    assert.raises_like(function() files.write_png("/no/such.png", from_golden()) end,
      "cannot create '/no/such.png'")
  end)

  it("that is not there is named", function()
    assert.raises_like(function() files.read_image "/no/such.png" end,
      "cannot open '/no/such.png': No such file or directory")
  end)
end)

describe("resize", function()
  for _, case in ipairs(golden.resize) do
    it(("gives Pillow's bytes at %d x %d"):format(case.height, case.width), function()
      local y = files.resize(from_golden(), case.height, case.width)
      assert.same({ case.height, case.width, 3 }, y.shape)
      local wanted, apart = bytes_of(case.rgb), 0
      for i = 1, #wanted do
        apart = math.max(apart, math.abs(wanted:byte(i) - y:to_bytes():byte(i)))
      end
      assert.equal(0, apart)
    end)
  end

  it("leaves a picture of the same size alone, and a single colour in any", function()
    local x = from_golden()
    assert.equal(x:to_bytes(), files.resize(x, golden.height, golden.width):to_bytes())
    local one = convlua.full({ 5, 7, 3 }, 200, { dtype = "uint8" })
    assert.equal(("\200"):rep(13 * 4 * 3), files.resize(one, 13, 4):to_bytes())
  end)

  it("has the same bytes for any number of threads", function()
    local x = convlua.randint(0, 255, { 200, 300, 3 }):to "uint8"
    local before, sums = convlua.threads(), {}
    for n = 1, 3 do
      convlua.threads(n)
      sums[n] = files.sha1(files.resize(x, 130, 170):to_bytes())
    end
    convlua.threads(before)
    assert.same({ sums[1], sums[1], sums[1] }, sums)
  end)

  it("refuses sizes that make no picture", function()
    assert.raises_like(function() files.resize(from_golden(), 0, 5) end, "a height of 1 or more")
    assert.raises_like(function() files.resize(from_golden(), 5, -1) end, "a width of 1 or more")
    assert.raises_like(function() files.resize(from_golden(), 1 << 26, 2) end, "not too large")
  end)
end)
