-- The numbers of the book's chapter on convolutional networks, computed by the program. Where the
-- chapter is wrong, the wrong number is here beside the right one.

local convlua = require "convlua"
local lenet = require "models.lenet"
local resnet = require "models.resnet"
local nn = convlua.nn

--- The length that a 1-D layer makes of a signal of length n.
local function length_after(layer, n)
  return layer:multiply_adds({ 1, n, 1 })[2]
end

--- The same by doing it.
local function length_of(layer, n)
  return layer(convlua.zeros { 1, n, 1 }):size(2)
end

local function conv1d(o)
  o.filter_shape = { o.filter, 1, 1 }
  o.filter = nil
  return nn.Conv1D(o)
end

local function transposed1d(o)
  o.filter_shape = { o.filter, 1, 1 }
  o.filter = nil
  return nn.TransposedConv1D(o)
end

describe("the size after a convolution, o = floor((i + 2p - (d(f - 1) + 1)) / s) + 1", function()
  it("is 4096 for 16384 samples, filter 16, stride 4, padding 6", function()
    local layer = conv1d { filter = 16, strides = 4, padding = 6 }
    assert.equal(4096, length_of(layer, 16384))
    assert.equal(4096, length_after(layer, 16384))
  end)

  it("is 24 for 28 pixels and filter 5", function()
    assert.equal(24, length_of(conv1d { filter = 5 }, 28))
  end)

  it("is 512 for 1024 samples, filter 4, stride 2, padding 1", function()
    assert.equal(512, length_of(conv1d { filter = 4, strides = 2, padding = 1 }, 1024))
  end)

  it("is that of each axis by its own numbers", function()
    local layer = nn.Conv2D {
      filter_shape = { 5, 3, 1, 1 }, strides = { 2, 1 }, padding = { 2, 0 }, dilations = { 1, 2 },
    }
    assert.same({ 1, 10, 16, 1 }, layer(convlua.zeros { 1, 20, 20, 1 }).shape)
  end)

  it("with \"same\" padding is i / s, rounded up", function()
    for i = 1, 9 do
      for s = 1, 3 do
        for f = 1, 4 do
          local layer = conv1d { filter = f, strides = s, padding = "same" }
          assert.equal((i + s - 1) // s, length_of(layer, i))
        end
      end
    end
  end)

  it("pads 32 pixels with (2, 3) for the 7 x 7 / 2 stem and (0, 1) for 3 x 3 / 2", function()
    local function agrees(f, before, after)
      local w = convlua.randn { f, f, 1, 1 }
      local x = convlua.randn { 1, 32, 32, 1 }
      local pads = { { before, after }, { before, after } }
      assert.equal(convlua.conv2d(x, w, nil, { strides = 2, padding = "same" }):to_bytes(),
        convlua.conv2d(x, w, nil, { strides = 2, padding = pads }):to_bytes())
    end
    agrees(7, 2, 3)
    agrees(3, 0, 1)
  end)

  it("is an error with the formula's numbers where nothing is left", function()
    local layer = conv1d { filter = 5 }
    assert.raises_like(function() layer(convlua.zeros { 1, 3, 1 }) end,
      "floor((3 + 0 + 0 - (1*(5 - 1) + 1))/1) + 1 < 1: the filter is larger than the padded input")
  end)
end)

describe("the size after pooling, o = floor((i - f + 2p) / s) + 1", function()
  it("is half for 2 / 2, also from an odd size, unless it is rounded up", function()
    assert.equal(14, length_of(nn.MaxPool1D { pool_size = 2 }, 28))
    assert.equal(2, length_of(nn.MaxPool1D { pool_size = 2 }, 5))
    assert.equal(3, length_of(nn.MaxPool1D { pool_size = 2, ceil_mode = true }, 5))
    assert.equal(14, length_of(nn.AvgPool1D { pool_size = 2 }, 28))
  end)

  it("is 8 for 16 pixels, window 3, stride 2, \"same\" or padding 1", function()
    assert.equal(8, length_of(nn.MaxPool1D { pool_size = 3, strides = 2, padding = "same" }, 16))
    assert.equal(8, length_of(nn.MaxPool1D { pool_size = 3, strides = 2, padding = 1 }, 16))
  end)
end)

describe("the size after a transposed convolution, o = s(i - 1) + d(f - 1) + 1 - 2p", function()
  it("is 1024 for 512 samples, filter 4, stride 2, padding 1", function()
    assert.equal(1024, length_of(transposed1d { filter = 4, strides = 2, padding = 1 }, 512))
  end)

  it("is 258 for 128 samples, filter 6, stride 2, padding 1; the book's 256 takes 2", function()
    assert.equal(258, length_of(transposed1d { filter = 6, strides = 2, padding = 1 }, 128))
    assert.equal(256, length_of(transposed1d { filter = 6, strides = 2, padding = 2 }, 128))
  end)

  it("with \"same\" padding is i times s", function()
    for _, case in ipairs { { 5, 3, 2 }, { 7, 4, 3 }, { 4, 2, 1 } } do
      local i, f, s = table.unpack(case)
      local layer = transposed1d { filter = f, strides = s, padding = "same" }
      assert.equal(i * s, length_of(layer, i))
    end
  end)
end)

describe("receptive fields of stacks of 2-tap filters", function()
  local function fields(dilations)
    local layers = {}
    for i, d in ipairs(dilations) do layers[i] = conv1d { filter = 2, dilations = d } end
    local list = {}
    for i, row in ipairs(nn.Sequential(layers):summary({ 32, 1 }).rows) do
      list[i] = row.receptive_field[1]
    end
    return list
  end

  --- How many inputs the middle output of a stack depends on, by its gradient.
  local function seen(dilations)
    local x = convlua.zeros({ 1, 32, 1 }, { requires_grad = true })
    local y = x
    for _, d in ipairs(dilations) do
      y = convlua.conv1d(y, convlua.ones { 2, 1, 1 }, nil, { dilations = d })
    end
    y:select(2, y:size(2) // 2):sum():backward()
    local first, last
    for i = 1, 32 do
      if x.grad[{ 1, i, 1 }]:item() ~= 0 then first, last = first or i, i end
    end
    return last - first + 1
  end

  it("are 2, 3, 4 without dilation; the book has 2, 4, 8", function()
    assert.same({ 2, 3, 4 }, fields { 1, 1, 1 })
    assert.equal(4, seen { 1, 1, 1 })
  end)

  it("are 5, 7, 8 for dilations 4, 2, 1 seen from the top; the book has 4, 6, 12", function()
    assert.same({ 5, 7, 8 }, fields { 4, 2, 1 })
    assert.same({ 5, 7, 8 }, { seen { 4 }, seen { 4, 2 }, seen { 4, 2, 1 } })
  end)

  it("are 2, 4, 8 for dilations 1, 2, 4", function()
    assert.same({ 2, 4, 8 }, fields { 1, 2, 4 })
  end)
end)

describe("numbers of parameters", function()
  local function dense(from, to) return nn.Dense { input_size = from, output_size = to } end

  it("of dense layers: 3,146,752 for 3072 to 1024, 154,141,696 for 150,528 to 1024", function()
    assert.equal(3146752, dense(32 * 32 * 3, 1024):count_parameters())
    local a, b = dense(7, 5):count_parameters(), dense(8, 5):count_parameters()
    assert.equal(5, b - a) -- one more input costs one weight per output; so, without 600 MB:
    assert.equal(154141696, 3146752 + (224 * 224 * 3 - 32 * 32 * 3) * 1024)
  end)

  it("of LeNet for colour images: 62,006", function()
    assert.equal(62006, lenet.LeNet {}:count_parameters())
  end)

  for _, case in ipairs {
    { 18, 10, 11181642 }, { 18, 1000, 11689512 }, { 34, 1000, 21797672 }, { 50, 1000, 25557032 },
    { 101, 1000, 44549160 }, { 152, 1000, 60192808 },
  } do
    local depth, classes, expected = table.unpack(case)
    it(("of ResNet%d with %d classes: %d"):format(depth, classes, expected), function()
      local model = resnet["ResNet" .. depth] { class_count = classes }
      assert.equal(expected, model:count_parameters())
    end)
  end
end)

describe("ResNet18", function()
  local model = resnet.ResNet18 { class_count = 10 }

  --- The sides of the maps after the stem, the pool and each stage; all multiply-adds, in millions.
  local function sides(of, size)
    local summary = of:summary { size, size, 3 }
    local list = {}
    for _, row in ipairs(summary.rows) do
      local path = row.path
      if path == "stem.norm" or path == "pool" or path:find "^stages%.%d%.2%.last_conv%.norm$" then
        list[#list + 1] = row.output_shape[1]
      end
    end
    return list, summary.multiply_adds / 1e6
  end

  for _, case in ipairs {
    { 32, { 16, 8, 8, 4, 2, 1 }, 37.0, 0.05 },
    { 128, { 64, 32, 32, 16, 8, 4 }, 592, 0.5 },
    { 224, { 112, 56, 56, 28, 14, 7 }, 1813.6, 0.05 },
  } do
    local size, expected, millions, tolerance = table.unpack(case)
    local title = "on %d pixels has maps of %s and %g million multiply-adds"
    it(title:format(size, table.concat(expected, ", "), millions), function()
      local list, found = sides(model, size)
      assert.same(expected, list)
      assert(math.abs(found - millions) <= tolerance, ("%.3f million"):format(found))
    end)
  end

  it("with the CIFAR stem has 555.4 million multiply-adds on 32 pixels", function()
    local list, found = sides(resnet.ResNet18 { class_count = 10, stem = "cifar" }, 32)
    assert.same({ 32, 32, 16, 8, 4 }, list)
    assert(math.abs(found - 555.4) <= 0.05, ("%.3f million"):format(found))
  end)

  it("sees 435 pixels before the mean", function()
    local rows = model:summary({ 32, 32, 3 }).rows
    assert.same({ 435, 435 }, rows[#rows - 2].receptive_field)
    assert.equal("all", rows[#rows].receptive_field)
  end)
end)

describe("batches of 128", function()
  it("are 390 of 50,000 images without the remainder, 79 of 10,000 with it", function()
    local function loader(count, drop_last)
      local set = { size = function() return count end, get = function() end }
      return convlua.data.Loader { dataset = set, batch_size = 128, drop_last = drop_last }
    end
    assert.equal(390, loader(50000, true):batches())
    assert.equal(79, loader(10000, false):batches())
  end)
end)

-- Properties --------------------------------------------------------------------------------------

--- Integers from -4 to 4, so that sums are exact and tensors can be compared bit by bit.
local function whole(...)
  return convlua.randint(-4, 4, { ... }):to "float32"
end

describe("a convolution", function()
  it("is a cross-correlation: the filter is not flipped", function()
    local x = convlua.tensor({ 1, 2, 3, 4 }):reshape { 1, 4, 1 }
    local w = convlua.tensor({ 1, 10 }):reshape { 2, 1, 1 }
    assert.close(convlua.conv1d(x, w):reshape { 3 }, { 21, 32, 43 })
  end)

  it("is equivariant to translation of a signal, by multiples of its stride", function()
    local x, w = whole(1, 40, 2), whole(5, 2, 3)
    for stride = 1, 3 do
      local o = { strides = stride }
      local y = convlua.conv1d(x, w, nil, o)
      local shifted = convlua.conv1d(x:slice(2, 1 + 2 * stride, -1), w, nil, o)
      assert.same(y:slice(2, 3, 2 + shifted:size(2)):to_table(), shifted:to_table())
    end
  end)

  it("is equivariant to translation of an image, by multiples of its stride", function()
    local x, w = whole(1, 16, 17, 2), whole(3, 3, 2, 4)
    for stride = 1, 2 do
      local o = { strides = stride }
      local y = convlua.conv2d(x, w, nil, o)
      local moved = x:slice(2, 1 + stride, -1):slice(3, 1 + 3 * stride, -1)
      local shifted = convlua.conv2d(moved, w, nil, o)
      local part = y:slice(2, 2, 1 + shifted:size(2)):slice(3, 4, 3 + shifted:size(3))
      assert.same(part:to_table(), shifted:to_table())
    end
  end)

  it("of stride 2 is not equivariant to a translation by one", function()
    local x, w = whole(1, 40, 1), whole(3, 1, 1)
    local o = { strides = 2 }
    local y, shifted = convlua.conv1d(x, w, nil, o), convlua.conv1d(x:slice(2, 2, -1), w, nil, o)
    local n = shifted:size(2)
    assert.not_same(y:slice(2, 1, n):to_table(), shifted:to_table())
    assert.not_same(y:slice(2, -n, -1):to_table(), shifted:to_table())
  end)

  it("is not equivariant to rotation or scale", function()
    local x, w = whole(1, 9, 9, 1), whole(3, 3, 1, 1)
    local function turned(t) return t:transpose(2, 3):flip(2) end -- a quarter turn
    local function larger(t) return convlua.upsample(t, { size = 2 }) end
    local y = convlua.conv2d(x, w, nil, { padding = "same" })
    assert.not_same(turned(y):to_table(),
      convlua.conv2d(turned(x), w, nil, { padding = "same" }):to_table())
    assert.not_same(larger(y):to_table(),
      convlua.conv2d(larger(x), w, nil, { padding = "same" }):to_table())
  end)
end)

describe("enlarging a constant image", function()
  --- The values inside, away from the borders, as a set's size.
  local function different_values(y)
    local inner = y
    for axis = 2, y.ndim - 1 do inner = inner:slice(axis, 9, -9) end
    local set, count = {}, 0
    for _, value in ipairs(inner:reshape({ inner:numel() }):to_table()) do
      if not set[value] then set[value], count = true, count + 1 end
    end
    return count
  end

  it("by transposed convolution makes a checkerboard when the stride does not divide the filter",
    function()
      for _, case in ipairs { { 3, 2, 2 }, { 5, 2, 2 }, { 4, 2, 1 }, { 6, 3, 1 } } do
        local f, s, in_one_axis = table.unpack(case)
        local signal = convlua.transposed_conv1d(convlua.ones { 1, 16, 1 },
          convlua.ones { f, 1, 1 }, nil, { strides = s })
        assert.equal(in_one_axis, different_values(signal))
        local image = convlua.transposed_conv2d(convlua.ones { 1, 16, 16, 1 },
          convlua.ones { f, f, 1, 1 }, nil, { strides = s })
        assert.equal(in_one_axis == 1 and 1 or 3, different_values(image)) -- products of two counts
      end
    end)

  it("by up-sampling and convolution makes none", function()
    local signal = convlua.upsample(convlua.ones { 1, 16, 1 }, { size = 2 })
    local image = convlua.upsample(convlua.ones { 1, 16, 16, 1 }, { size = 2 })
    assert.equal(1, different_values(convlua.conv1d(signal, whole(3, 1, 1))))
    assert.equal(1, different_values(convlua.conv2d(image, whole(3, 3, 1, 1))))
  end)
end)
