-- Convolution: against the definition in plain Lua, the float32 engine against the float64
-- reference, sizes, padding, properties.

local convlua = require "convlua"
local core = require "convlua.core"
local grad = core.autograd.grad

-- Whole numbers from -2 to 2: sums of their products are exact in float32.
local function whole(...)
  return convlua.randint(-2, 2, { ... }):cast "float32"
end

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

local function flat(x) return x:detach():reshape(-1):to_table() end

-- The largest difference of two tensors, relative to the largest element of the second.
local function distance(a, b)
  local most, largest = 0, 1
  local x, y = flat(a), flat(b)
  assert.equal(#x, #y)
  for i = 1, #x do
    most, largest = math.max(most, math.abs(x[i] - y[i])), math.max(largest, math.abs(y[i]))
  end
  return most / largest
end

-- y and its gradients in x and w, weighted by whole numbers.
local function all_passes(name, x, w, options, weights)
  x, w = leaf(x), leaf(w)
  local y = convlua[name](x, w, nil, options)
  local gx, gw = table.unpack(grad((y * weights):sum(), { x, w }))
  return { y, gx, gw }
end

describe("conv2d", function()
  before_each(function() convlua.manual_seed(11) end)

  it("is the sum over taps and channels that its doc says", function()
    local x, w, b = whole(2, 5, 6, 2), whole(3, 2, 2, 3), whole(3)
    local y = convlua.conv2d(x, w, b, { strides = { 2, 1 }, padding = { { 1, 0 }, { 0, 2 } },
      dilations = { 1, 2 } })
    assert.same({ 2, 2, 6, 3 }, y.shape)
    local X, W, B, Y = x:to_table(), w:to_table(), b:to_table(), y:to_table()
    for n = 1, 2 do for p = 1, 2 do for q = 1, 6 do for k = 1, 3 do
      local sum = B[k]
      for r = 1, 3 do for s = 1, 2 do for c = 1, 2 do
        local row = X[n][2 * (p - 1) + r - 1]
        local pixel = row and row[(q - 1) + 2 * (s - 1) + 1]
        if pixel then sum = sum + pixel[c] * W[r][s][c][k] end
      end end end
      assert.equal(sum, Y[n][p][q][k])
    end end end end
  end)

  it("does not flip the filter", function()
    local x = convlua.tensor { 1, 2, 3, 4 }:reshape { 1, 4, 1 }
    local y = convlua.conv1d(x, convlua.tensor { 1, 10 }:reshape { 2, 1, 1 })
    assert.same({ 21, 32, 43 }, flat(y))
  end)
end)

-- name, shape of x, shape of w, options
local cases = {
  { "conv1d", { 2, 40, 3 }, { 5, 3, 7 }, { strides = 2, padding = "same" } },
  { "conv1d", { 3, 33, 8 }, { 2, 4, 6 }, { dilations = 4, groups = 2 } },
  { "conv2d", { 2, 9, 11, 3 }, { 7, 7, 3, 16 }, { strides = 2, padding = "same" } },
  { "conv2d", { 1, 8, 8, 16 }, { 1, 1, 16, 32 }, {} },
  { "conv2d", { 2, 7, 7, 20 }, { 1, 1, 20, 12 }, { strides = 2 } },
  { "conv2d", { 2, 10, 9, 12 }, { 2, 5, 3, 8 }, { groups = 4, padding = 2, strides = { 1, 2 } } },
  { "conv2d", { 2, 9, 9, 24 }, { 3, 3, 1, 24 }, { groups = 24, padding = 1 } },
  { "conv2d", { 2, 9, 9, 24 }, { 3, 3, 2, 24 }, { groups = 12, padding = 1 } },
  { "conv2d", { 2, 9, 8, 44 }, { 3, 3, 4, 44 }, { groups = 11, strides = 2, padding = "same" } },
  { "conv2d", { 2, 9, 9, 24 }, { 2, 3, 8, 24 }, { groups = 3, dilations = 2 } },
  { "conv2d", { 2, 9, 9, 48 }, { 3, 3, 16, 48 }, { groups = 3, padding = 1 } },
  { "conv2d", { 1, 9, 9, 6 }, { 3, 3, 1, 12 }, { groups = 6, strides = 2, padding = "same" } },
  { "conv2d", { 1, 12, 12, 4 }, { 4, 4, 4, 70 }, { padding = { { 0, 3 }, { 2, 0 } } } },
  { "conv2d", { 1, 13, 5, 33 }, { 5, 1, 33, 17 }, { dilations = { 3, 1 }, padding = "valid" } },
  -- rows of x and gy that are read as they lie, in several blocks
  { "conv2d", { 7, 9, 8, 300 }, { 1, 1, 300, 96 }, {} },
  { "conv2d", { 5, 12, 11, 64 }, { 1, 1, 64, 160 }, {} },
  { "conv2d", { 3, 14, 13, 64 }, { 1, 1, 32, 64 }, { groups = 2, strides = 2 } },
  -- few images and many filters: these are read as they lie, of a single row 128 columns at a time
  { "conv2d", { 1, 1, 1, 300 }, { 3, 3, 300, 288 }, { padding = "same" } },
  { "conv2d", { 1, 4, 4, 24 }, { 3, 3, 24, 128 }, { padding = "same" } },
  { "conv2d", { 2, 5, 5, 12 }, { 2, 2, 6, 128 }, { groups = 2, strides = 2 } },
  { "conv1d", { 1, 7, 130 }, { 3, 130, 160 }, { padding = 1, strides = 3 } },
  -- 2 x 2 maps, whose transforms know no fractions
  { "conv2d", { 128, 2, 2, 64 }, { 3, 3, 64, 96 }, { padding = "same" } },
  { "conv2d", { 0, 4, 4, 3 }, { 3, 3, 3, 2 }, {} },
  { "conv3d", { 1, 4, 5, 6, 3 }, { 2, 2, 2, 3, 5 }, { padding = "same", strides = { 1, 2, 2 } } },
}

-- These may take Winograd's algorithm, whose points are fractions: rounded, not exact.
local rounded = {
  { "conv2d", { 2, 16, 16, 64 }, { 3, 3, 64, 64 }, { padding = "same" } },
  { "conv2d", { 1, 9, 7, 40 }, { 3, 3, 40, 24 }, { padding = 1 } },
  { "conv2d", { 2, 15, 16, 32 }, { 3, 3, 32, 48 }, { padding = "same", strides = 2 } },
  { "conv2d", { 3, 4, 4, 64 }, { 3, 3, 64, 128 }, { padding = 1, strides = 2 } },
  -- so many tiles that the filter's gradient is summed in parts
  { "conv2d", { 8, 61, 64, 32 }, { 3, 3, 32, 32 }, { padding = 1 } },
}

local function title(case)
  local x, w = table.concat(case[2], ", "), table.concat(case[3], ", ")
  return ("%s x {%s} w {%s}"):format(case[1], x, w)
end

local function compare(case, tolerance)
  convlua.manual_seed(5)
  local name, options = case[1], case[4]
  local x, w = whole(table.unpack(case[2])), whole(table.unpack(case[3]))
  local shape = convlua[name](x, w, nil, options).shape
  local weights = whole(table.unpack(shape))
  local engine = all_passes(name, x, w, options, weights)
  local exact = all_passes(name, x:cast "float64", w:cast "float64", options,
    weights:cast "float64")
  for i, what in ipairs { "y", "the gradient in x", "the gradient in w" } do
    local apart = distance(engine[i], exact[i])
    assert(apart <= tolerance, ("%s is %g apart"):format(what, apart))
  end
end

describe("the float32 engine", function()
  for _, case in ipairs(cases) do
    it("gives the reference's numbers exactly: " .. title(case), function() compare(case, 0) end)
  end
  for _, case in ipairs(rounded) do
    it("gives the reference's numbers to rounding: " .. title(case), function()
      compare(case, 5e-6)
    end)
  end
end)

describe("padding", function()
  before_each(function() convlua.manual_seed(2) end)

  local x, w
  before_each(function() x, w = whole(1, 32, 32, 3), whole(7, 7, 3, 4) end)

  local function conv(padding, strides)
    return convlua.conv2d(x, w, nil, { padding = padding, strides = strides or 1 })
  end

  it("\"same\" puts the odd pixel at the end: 7x7, stride 2, 32 pixels pads 2 and 3", function()
    local y = conv("same", 2)
    assert.same({ 1, 16, 16, 4 }, y.shape)
    assert.same(flat(conv({ { 2, 3 }, { 2, 3 } }, 2)), flat(y))
  end)

  it("3 is the symmetric padding, another result of the same size", function()
    assert.same({ 1, 16, 16, 4 }, conv(3, 2).shape)
    assert.not_same(flat(conv("same", 2)), flat(conv(3, 2)))
  end)

  it("may be a number for all, one for each axis, or one for each side", function()
    assert.same(flat(conv(2)), flat(conv { 2, 2 }))
    assert.same(flat(conv { 1, 2 }), flat(conv { { 1, 1 }, { 2, 2 } }))
    assert.same({ 1, 28, 30, 4 }, conv({ { 0, 2 }, { 3, 1 } }).shape)
  end)

  it("\"valid\" is none", function()
    assert.same(flat(conv(0)), flat(conv "valid"))
  end)

  it("\"same\" keeps the size with stride 1 for even filters, too", function()
    local y = convlua.conv2d(x, whole(4, 2, 3, 1), nil, { padding = "same", dilations = 3 })
    assert.same({ 1, 32, 32, 1 }, y.shape)
  end)
end)

describe("sizes", function()
  local function length(size, filter, options)
    local x, w = convlua.zeros { 1, size, 1 }, convlua.zeros { filter, 1, 1 }
    return convlua.conv1d(x, w, nil, options):size(2)
  end

  it("of a convolution are floor((i + 2p - (d(f - 1) + 1))/s) + 1", function()
    assert.equal(4096, length(16384, 16, { strides = 4, padding = 6 }))
    assert.equal(24, length(28, 5))
    assert.equal(512, length(1024, 4, { strides = 2, padding = 1 }))
  end)

  it("take each axis by its own filter, stride, padding and dilation", function()
    local y = convlua.conv2d(convlua.zeros { 1, 20, 30, 1 }, convlua.zeros { 3, 5, 1, 1 }, nil,
      { strides = { 2, 3 }, padding = { 1, 2 }, dilations = { 2, 1 } })
    assert.same({ 1, 9, 10, 1 }, y.shape)
  end)

  it("of a transposed convolution are s(i - 1) + d(f - 1) + 1 - 2p + output_padding", function()
    local function transposed(size, filter, options)
      return convlua.transposed_conv1d(convlua.zeros { 1, size, 1 },
        convlua.zeros { filter, 1, 1 }, nil, options):size(2)
    end
    assert.equal(1024, transposed(512, 4, { strides = 2, padding = 1 }))
    assert.equal(256, transposed(128, 6, { strides = 2, padding = 2 }))
    assert.equal(258, transposed(128, 6, { strides = 2, padding = 1 })) -- and not 256
    assert.equal(12, transposed(4, 4, { strides = 3, padding = "same" }))
    assert.equal(12, transposed(4, 2, { strides = 3, padding = "same" }))
    assert.equal(13, transposed(4, 3, { strides = 3, output_padding = 1 }))
  end)

  it("that come out below 1 are refused with the formula", function()
    assert.raises_like(function() length(3, 5) end,
      "floor((3 + 0 + 0 - (1*(5 - 1) + 1))/1) + 1 < 1")
  end)
end)

describe("transposed_conv2d", function()
  it("is the adjoint of conv2d: <conv(x), y> = <x, transposed(y)>", function()
    convlua.manual_seed(4)
    for _, options in ipairs { { strides = 2, padding = 1 }, { strides = { 1, 2 }, dilations = 2 },
      { strides = 7, padding = { { 0, 1 }, { 1, 0 } } } } do
      local x, w = whole(2, 9, 9, 3), whole(3, 3, 3, 5)
      local y = convlua.conv2d(x, w, nil, options)
      local other = whole(table.unpack(y.shape))
      -- conv's filter {r, s, in, out} is the transposed one's {r, s, out, in}
      local back = convlua.transposed_conv2d(other, w, nil, options)
      assert.same(x.shape, back.shape)
      assert.equal((y * other):sum():item(), (x * back):sum():item())
    end
  end)

  it("adds its bias", function()
    local y = convlua.transposed_conv2d(convlua.zeros { 1, 2, 2, 1 }, convlua.zeros { 2, 2, 3, 1 },
      convlua.tensor { 1, 2, 3 })
    assert.same({ 1, 2, 3 }, y:to_table()[1][2][3])
  end)
end)

describe("convolution", function()
  it("gives the same bits for any number of threads", function()
    local before = core.threads()
    convlua.manual_seed(3)
    local x, w = convlua.randn { 4, 16, 16, 32 }, convlua.randn { 3, 3, 32, 64 }
    local bytes = {}
    for i, n in ipairs { 1, 2, 4 } do
      core.threads(n)
      local a, b = leaf(x), leaf(w)
      local y = convlua.conv2d(a, b, nil, { padding = "same" })
      local g = grad((y * y):sum(), { a, b })
      bytes[i] = y:to_bytes() .. g[1]:to_bytes() .. g[2]:to_bytes()
    end
    core.threads(before)
    assert.equal(bytes[1], bytes[2])
    assert.equal(bytes[1], bytes[3])
  end)
end)

describe("the gradient of a convolution's input that has other uses", function()
  local cases = { -- each algorithm, and its odd sizes
    { "conv2d", { 2, 9, 10, 32 }, { 3, 3, 32, 40 }, { padding = 1 } },
    { "conv2d", { 2, 12, 12, 64 }, { 3, 3, 64, 64 }, { strides = 2, padding = "same" } },
    { "conv2d", { 2, 24, 13, 18 }, { 3, 3, 18, 33 }, { strides = 2, padding = 1 } },
    { "conv2d", { 9, 2, 2, 20 }, { 3, 3, 20, 20 }, { padding = 1 } },
    { "conv2d", { 2, 7, 5, 70 }, { 3, 3, 70, 90 }, { padding = { { 2, 0 }, { 0, 1 } } } },
    { "conv2d", { 3, 8, 9, 33 }, { 1, 1, 33, 70 }, { strides = 2 } },
    { "conv2d", { 3, 8, 9, 24 }, { 5, 2, 12, 8 }, { strides = { 1, 3 }, dilations = { 1, 2 }, groups = 2 } },
    { "conv2d", { 16, 7, 6, 3 }, { 3, 3, 3, 8 }, { padding = "same" } },
    { "conv2d", { 2, 6, 6, 24 }, { 3, 3, 1, 24 }, { groups = 24, padding = 1 } },
    { "conv2d", { 2, 6, 6, 24 }, { 3, 3, 4, 24 }, { groups = 6, padding = 1, strides = 2 } },
    { "conv2d", { 2, 9, 13, 3 }, { 3, 3, 3, 64 }, { padding = 1 } },
    { "conv2d", { 1, 9, 13, 2 }, { 5, 4, 2, 40 }, { padding = 2, strides = 2 } },
    { "conv1d", { 4, 300, 16 }, { 40, 16, 16 }, {} },
    { "conv1d", { 4, 300, 32 }, { 3, 32, 16 }, { padding = 1 } },
    { "conv1d", { 4, 300, 64 }, { 3, 64, 64 }, { padding = 1 } },
  }

  -- The younger of two uses of z delivers its gradient first, and the other one adds to it.
  local function gradient(case, dtype, conv_first)
    local name, options = case[1], case[4]
    local x, w = leaf(case.x:cast(dtype)), leaf(case.w:cast(dtype))
    local z, parts = x:neg(), {}
    local function convolve() parts[1] = (convlua[name](z, w, nil, options) * case.gy:cast(dtype)):sum() end
    local function other() parts[2] = (z * case.gz:cast(dtype)):sum() end
    if conv_first then
      convolve() other()
    else
      other() convolve()
    end
    return grad(parts[1] + parts[2], { x })[1]
  end

  it("is the sum over all of them, in whatever order they come", function()
    for i, case in ipairs(cases) do
      convlua.manual_seed(i)
      case.x, case.w = whole(table.unpack(case[2])), whole(table.unpack(case[3]))
      case.gy = whole(table.unpack(convlua[case[1]](case.x, case.w, nil, case[4]).shape))
      case.gz = whole(table.unpack(case[2]))
      local exact = gradient(case, "float64", false)
      assert.same(flat(exact), flat(gradient(case, "float64", true)))
      for _, conv_first in ipairs { false, true } do
        local apart = distance(gradient(case, "float32", conv_first), exact)
        assert(apart <= 2e-6, ("case %d: %g apart"):format(i, apart))
      end
    end
  end)

  it("is not added to what two tensors share", function()
    local shape, x, w, g = { 2, 6, 6, 5 }, {}, {}, whole(2, 6, 6, 5)
    local z, loss = {}, nil
    for i = 1, 2 do
      x[i], w[i] = leaf(whole(table.unpack(shape))), whole(1, 1, 5, 7)
      z[i] = x[i]:neg()
      local y = convlua.conv2d(z[i], w[i]):sum()
      loss = loss and loss + y or y
    end
    loss = loss + ((z[1] + z[2]) * g):sum() -- both get the same tensor
    loss:backward()
    for i = 1, 2 do assert.same(flat(-(g + w[i]:reshape { 5, 7 }:sum(2))), flat(x[i].grad)) end
  end)

  it("is complete when hooks see it, and a retained graph gives it again", function()
    local x, w, g = leaf(whole(2, 6, 6, 5)), whole(1, 1, 5, 7), whole(2, 6, 6, 5)
    local z, seen = x:neg(), {}
    z:register_hook(function(gz) seen[#seen + 1] = flat(gz) end)
    local y = convlua.conv2d(z, w)
    local loss = (z * g):sum() + y:sum()
    loss:backward { retain_graph = true }
    loss:backward()
    assert.same(flat(g + w:reshape { 5, 7 }:sum(2)), seen[1])
    assert.same(seen[1], seen[2])
  end)
end)

describe("nn.conv_norm", function()
  local nn = convlua.nn

  -- conv's options, shape of x; with few channels, many, groups, one image, and both strides of Winograd
  local cases = {
    { { filter_shape = { 3, 3, 3, 8 }, padding = "same" }, { 16, 7, 6, 3 } },
    { { filter_shape = { 3, 3, 32, 40 }, padding = 1 }, { 2, 9, 10, 32 } },
    { { filter_shape = { 3, 3, 64, 128 }, strides = 2, padding = "same", use_bias = false }, { 2, 12, 12, 64 } },
    { { filter_shape = { 5, 4, 7, 21 } }, { 3, 8, 8, 7 } },
    { { filter_shape = { 1, 1, 33, 160 }, strides = 2 }, { 1, 5, 5, 33 } },
    { { filter_shape = { 3, 3, 1, 24 }, groups = 24, padding = 1 }, { 2, 6, 6, 24 } },
    { { filter_shape = { 3, 3, 40, 3 }, padding = 1 }, { 2, 6, 17, 40 } },
    { { filter_shape = { 2, 2, 3, 10 }, groups = 2 }, { 2, 6, 6, 6 } },
  }

  local function layers(options, activation)
    local conv = nn.Conv2D(options)
    local filter_shape = options.filter_shape
    local K = filter_shape[4]
    local norm = nn.BatchNorm{ feature_count = K, activation = activation }
    convlua.no_grad(function()
      if conv.bias then conv.bias:copy_(convlua.randn { K }) end
      norm.scale:copy_(convlua.randn { K })
      norm.offset:copy_(convlua.randn { K })
      norm.running_mean:copy_(convlua.randn { K })
      norm.running_var:copy_(convlua.rand { K } + 0.5)
    end)
    conv:eval()
    norm:eval()
    return conv, norm
  end

  it("gives in one pass what the two layers give", function()
    for i, case in ipairs(cases) do
      for _, activation in ipairs { "identity", "relu" } do
        for _, with_residual in ipairs { false, true } do
          convlua.manual_seed(i)
          local conv, norm = layers(case[1], activation)
          local x = convlua.randn(case[2])
          convlua.no_grad(function()
            local between = conv(x)
            local residual = with_residual and convlua.randn(between.shape) or nil
            local apart = distance(nn.conv_norm(conv, norm, x, residual), norm(between, residual))
            assert(apart <= 1e-5, ("case %d, %s: %g apart"):format(i, activation, apart))
          end)
        end
      end
    end
  end)

  it("runs the layers one after the other where a gradient or the batch's statistics are asked for", function()
    local conv, norm = layers({ filter_shape = { 3, 3, 3, 8 } }, "relu")
    local x = convlua.randn { 4, 6, 6, 3 }
    local y = nn.conv_norm(conv, norm, x)
    assert.same(flat(norm(conv(x))), flat(y))
    y:sum():backward()
    assert.same({ 3, 3, 3, 8 }, conv.filter.grad.shape)
    norm:train()
    local before = flat(norm.running_mean)
    convlua.no_grad(nn.conv_norm, conv, norm, x)
    assert.not_same(before, flat(norm.running_mean))
  end)

  it("has a convolution's own ReLU done in inference, too", function()
    for _, case in ipairs(cases) do
      local options = { activation = "relu" }
      for key, value in pairs(case[1]) do options[key] = value end
      local conv, x = nn.Conv2D(options), convlua.randn(case[2])
      if conv.bias then convlua.no_grad(function() conv.bias:copy_(convlua.randn(conv.bias.shape)) end) end
      local y = conv(x)
      assert(distance(convlua.no_grad(function() return conv(x) end), y) <= 1e-5)
      assert.is_true(y:min():item() == 0)
    end
  end)

  it("is what a Sequential does in inference, and who watches sees both layers", function()
    local conv, norm = layers({ filter_shape = { 3, 3, 16, 40 }, padding = 1 }, "relu")
    local x = convlua.randn { 2, 6, 7, 16 }
    local model = nn.Sequential{ conv, { norm = norm }, nn.Flatten{} }
    convlua.no_grad(function()
      local joined, apart = flat(nn.conv_norm(conv, norm, x)), flat(norm(conv(x)))
      assert.same(joined, flat(model(x)))
      assert.not_same(joined, apart) -- rounded once less
      local seen = {}
      local y = nn.watch(function(part) seen[#seen + 1] = part end, model, x)
      assert.same({ conv, norm, model[3] }, seen)
      assert.same(apart, flat(y))
    end)
    assert.same(flat(norm(conv(x))), flat(model(x)))
  end)

  it("says what does not fit, and where", function()
    local conv, norm = layers({ filter_shape = { 3, 3, 3, 8 } }, "relu")
    local x = convlua.randn { 4, 6, 6, 3 }
    local _, text = pcall(function() return (nn.conv_norm(conv, norm, 5)) end)
    assert.matches("conv_spec.lua:%d+: bad argument #3", text)
    local function fails(message, ...)
      local ok, text = pcall(convlua.no_grad, nn.conv_norm, ...)
      assert.is_false(ok)
      assert(text:find(message, 1, true), text)
    end
    fails("expected residual {4, 4, 4, 8} as y, got {4, 4, 4, 1}", conv, norm, x, convlua.randn { 4, 4, 4, 1 })
    fails("8", conv, nn.BatchNorm { feature_count = 7 }:eval(), x)
    fails("Conv2D", conv, norm, convlua.randn { 4, 6, 6, 2 })
    fails("a convolution and a normalization expected, got BatchNorm and Conv2D", norm, conv, x)
    fails("tensor expected, got nil", conv, norm)
  end)
end)

describe("nn.conv_pool", function()
  local nn = convlua.nn

  local function layers(Pool, options)
    local conv = nn.Conv2D{ filter_shape = { 3, 3, 3, 8 }, activation = "relu", bias_initializer = "he_normal" }
    return conv, (Pool or nn.AvgPool2D)(options or {})
  end

  local function made_by(y) return y.made_by end

  it("is one op where there are few channels and enough images, and what the layers give elsewhere", function()
    local images = convlua.randn { 32, 9, 9, 3 }
    for _, case in ipairs { -- the pooling's options, x, whether it is one op
      { {}, images, true },
      { { pool_size = 3 }, images, true },
      { { pool_size = { 1, 7 } }, images, true },
      { {}, convlua.randn { 2, 9, 9, 3 }, false },
      { { pool_size = 3, strides = 2 }, images, false },
      { { padding = "same" }, images, false },
      { { pool_size = 2, padding = 1 }, images, false },
      { { pool_size = 2, ceil_mode = true }, images, false },
      { {}, images:cast "float64", false },
    } do
      for _, Pool in ipairs { nn.AvgPool2D, nn.MaxPool2D } do
        local conv, pool = layers(Pool, case[1])
        conv:to(case[2].dtype)
        local y = nn.conv_pool(conv, pool, case[2])
        assert(distance(y, pool(conv(case[2]))) <= 1e-5)
        assert.equal(case[3], made_by(y) == "conv_pool")
        assert(distance(convlua.no_grad(nn.conv_pool, conv, pool, case[2]), y) <= 1e-6)
      end
    end
  end)

  it("is what through and Sequential do, and who watches sees both layers", function()
    local conv, pool = layers()
    local x = convlua.randn { 16, 8, 8, 3 }
    assert.equal("conv_pool", made_by(x:through(conv, pool)))
    local model = nn.Sequential{ conv, { pool = pool }, nn.Flatten{} }
    assert.same(flat(x:through(conv, pool)), flat(model(x)))
    local seen = {}
    nn.watch(function(part) seen[#seen + 1] = part end, model, x)
    assert.same({ conv, pool, model[3] }, seen)
  end)

  it("adds its gradient to that of another use, and gives those that are wanted", function()
    local conv, pool = layers()
    local x = leaf(convlua.randn { 16, 8, 8, 3 })
    local z = x * 1
    local joined = grad((nn.conv_pool(conv, pool, z):sum() + z:square():sum()), { x }, { retain_graph = true })[1]
    local apart = grad((pool(conv(z)):sum() + z:square():sum()), { x })[1]
    assert(distance(joined, apart) <= 1e-5)
    conv.filter.requires_grad = false
    local bias = grad(nn.conv_pool(conv, pool, x):sum(), { conv.bias })[1]
    assert(distance(bias, grad(pool(conv(x)):sum(), { conv.bias })[1]) <= 1e-5)
  end)

  it("keeps NaN, which has no share in the gradient behind a ReLU", function()
    for _, Pool in ipairs { nn.AvgPool2D, nn.MaxPool2D } do
      local conv, pool = layers(Pool)
      local x = convlua.randn { 16, 8, 8, 3 }
      x:slice(1, 3, 3):slice(2, 1, 1):slice(3, 1, 1):fill_(0 / 0)
      local joined, apart = flat(nn.conv_pool(conv, pool, x)), flat(pool(conv(x)))
      for i, v in ipairs(apart) do assert.equal(v ~= v, joined[i] ~= joined[i]) end
    end
  end)

  it("says what does not fit, and where", function()
    local conv, pool = layers()
    local function fails(message, ...)
      local ok, text = pcall(nn.conv_pool, ...)
      assert.is_false(ok)
      assert(text:find(message, 1, true), text)
    end
    fails("Conv2D", conv, pool, convlua.randn { 16, 8, 8, 2 })
    fails("a convolution and a pooling expected, got Conv2D and BatchNorm", conv, nn.BatchNorm { feature_count = 8 },
      convlua.randn { 16, 8, 8, 3 })
    fails("tensor expected, got nil", conv, pool)
    local _, text = pcall(function() return (nn.conv_pool(conv, pool, 5)) end)
    assert.matches("conv_spec.lua:%d+: bad argument #3", text)
  end)
end)
