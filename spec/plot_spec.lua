-- Pictures of curves: what is drawn where, and that the files are what they should be.

local convlua = require "convlua"
local plot = convlua.plot
local core = require "convlua.core"

local history = {}
for epoch = 1, 8 do
  history[epoch] = { loss = 2 / epoch, val_loss = 2.2 / epoch, accuracy = 1 - 0.8 / epoch,
    val_accuracy = 0.8 - 0.6 / epoch }
end

describe("plot.ticks", function()
  it("are round numbers", function()
    assert.close({ 0, 0.5, 1, 1.5, 2 }, (plot.ticks(0, 2.1, 5)))
    assert.close({ 0.02, 0.04, 0.06 }, (plot.ticks(0.01, 0.07, 4)))
    assert.close({ 1000, 2000, 3000 }, (plot.ticks(700, 3100, 3)))
    assert.equal(1, (select(2, plot.ticks(0, 2.1, 5))))
    assert.equal(2, (select(2, plot.ticks(0.01, 0.07, 4))))
    assert.equal(0, (select(2, plot.ticks(700, 3100, 3))))
  end)
end)

describe("plot.write", function()
  local path

  before_each(function() path = os.tmpname() end)
  after_each(function()
    for _, ending in ipairs { "", ".svg", ".png" } do os.remove(path .. ending) end
  end)

  it("makes an SVG with the titles, both curves and balanced tags", function()
    plot.write(path .. ".svg", plot.of_history(history, "a < b & c"))
    local text = core.io.read_file(path .. ".svg")
    assert.truthy(text:find("<svg xmlns=\"http://www.w3.org/2000/svg\"", 1, true))
    for _, word in ipairs { "a &lt; b &amp; c", ">loss<", ">accuracy<", ">training<", ">validation<" } do
      assert.truthy(text:find(word, 1, true), word)
    end
    local curves = select(2, text:gsub("<polyline", ""))
    assert.is_true(curves >= 4)
    assert.equal(select(2, text:gsub("<text", "")), select(2, text:gsub("</text>", "")))
    assert.falsy(text:find("nan", 1, true))
  end)

  it("makes a PNG that has ink in the colours of the curves", function()
    plot.write(path .. ".png", plot.of_history(history, "curves"))
    local image = core.io.read_image(path .. ".png")
    assert.same({ 440, 1200, 3 }, image.shape)
    local blue = 0
    local bytes = image:to_bytes()
    for at = 1, #bytes, 3 do
      local r, g, b = bytes:byte(at, at + 2)
      if r == 0x1f and g == 0x6f and b == 0xb4 then blue = blue + 1 end
    end
    assert.is_true(blue > 1000)
  end)

  it("bears one epoch, gaps and nothing at all", function()
    for _, h in ipairs { { { loss = 1 } }, { { loss = 0 / 0 }, { loss = 1 / 0 }, { loss = 1 } }, {} } do
      local figure = plot.of_history(h, "few")
      if #figure.panels == 0 then figure.panels[1] = { title = "none", series = {} } end
      plot.write(path .. ".svg", figure)
      plot.write(path .. ".png", figure)
      assert.falsy(core.io.read_file(path .. ".svg"):find "nan")
    end
  end)

  it("knows its formats", function()
    assert.raises_like(function() plot.write("a.gif", { panels = {} }) end, "neither in .svg nor in .png")
  end)
end)
