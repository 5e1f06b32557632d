-- Layers: options, parameters, what they compute, how they print, what they refuse.

local convlua = require "convlua"
local core = require "convlua.core"

local nn = {}
for _, layer in ipairs(core.layers()) do nn[layer.name] = layer.call end

local function names(list)
  local found = {}
  for i, entry in ipairs(list) do found[i] = entry[1] end
  return found
end

local function count(layer)
  local n = 0
  for _, entry in ipairs(layer:parameters()) do n = n + entry[2]:numel() end
  return n
end

before_each(function() convlua.manual_seed(6) end)

describe("a layer", function()
  it("lists its parameters by name, its buffers apart", function()
    local conv = nn.Conv2D { filter_shape = { 3, 3, 2, 4 } }
    assert.same({ "bias", "filter" }, names(conv:parameters()))
    conv = nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, use_bias = false }
    assert.same({ "filter" }, names(conv:parameters()))
    local norm = nn.BatchNorm { feature_count = 5 }
    assert.same({ "offset", "scale" }, names(norm:parameters()))
    assert.same({ "running_mean", "running_var" }, names(norm:buffers()))
    assert.same({}, nn.Flatten():parameters())
  end)

  it("has the number of parameters that is known", function()
    assert.equal(3146752, count(nn.Dense { input_size = 3072, output_size = 1024 }))
    assert.equal(9280, count(nn.Conv2D { filter_shape = { 3, 3, 16, 64 } }))
    assert.equal(9408, count(nn.Conv2D { filter_shape = { 7, 7, 3, 64 }, use_bias = false }))
    assert.equal(128, count(nn.BatchNorm { feature_count = 64 }))
    assert.equal(9280, nn.Conv2D { filter_shape = { 3, 3, 16, 64 } }.parameter_count)
  end)

  it("prints its options as given and its parameters", function()
    assert.equal('Conv2D{filter_shape = {3, 3, 16, 64}, strides = 1, padding = "same"}' ..
      "  9,280 parameters",
      tostring(nn.Conv2D { padding = "same", strides = 1, filter_shape = { 3, 3, 16, 64 } }))
    assert.equal("MaxPool2D{pool_size = 3, padding = {{0, 1}, {0, 1}}}",
      tostring(nn.MaxPool2D { pool_size = 3, padding = { { 0, 1 }, { 0, 1 } } }))
    assert.equal("Flatten{}", tostring(nn.Flatten {}))
  end)

  it("tells its type and its options, defaults included", function()
    local layer = nn.Conv2D { filter_shape = { 3, 3, 1, 8 }, padding = { 1, 2 },
      activation = "relu" }
    assert.equal("Conv2D", layer.type)
    local options = layer.options
    assert.same({ 3, 3, 1, 8 }, options.filter_shape)
    assert.same({ 1, 2 }, options.padding)
    assert.equal("relu", options.activation)
    assert.equal(1, options.strides)
    assert.equal(true, options.use_bias)
    assert.equal("glorot_uniform", options.filter_initializer)
  end)

  it("gives its tensors by name and takes values into them", function()
    local layer = nn.Dense { input_size = 2, output_size = 3 }
    local weight = layer.weight
    assert.same({ 2, 3 }, weight.shape)
    assert.truthy(weight.requires_grad)
    layer.weight = convlua.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, weight:to_table()) -- who holds it sees it
    layer.bias = convlua.tensor({ 1, 1, 1 }, "int32")
    assert.same({ { 6, 8, 10 } }, layer(convlua.tensor { { 1, 1 } }):to_table())
    assert.is_nil(layer.filter)
    assert.raises_like(function() layer.weight = convlua.zeros { 3, 2 } end,
      "Dense: weight has the shape {2, 3}, got {3, 2}")
    assert.raises_like(function() layer.wieght = weight end,
      "there is no parameter or buffer 'wieght'")
    assert.raises_like(function() layer.weight = 1 end, "weight must be a tensor, got number")
  end)

  it("trains until it is told not to", function()
    local drop = nn.Dropout { rate = 0.5 }
    local x = convlua.ones { 200 }
    assert.truthy(drop.training)
    assert.not_same(x:to_table(), drop(x):to_table())
    assert.equal(drop, drop:eval())
    assert.same(x:to_table(), drop(x):to_table())
    assert.truthy(drop:train().training)
  end)

  it("changes its element type", function()
    local layer = nn.Conv1D { filter_shape = { 3, 2, 2 } }
    local before = layer.filter:to_table()
    assert.equal(layer, layer:to "float64")
    assert.equal("float64", layer.filter.dtype)
    assert.truthy(layer.filter.requires_grad)
    assert.same(before, layer.filter:to_table())
    assert.equal("float64", layer(convlua.zeros({ 1, 5, 2 }):cast "float64").dtype)
    assert.raises_like(function() layer:to "int32" end, "of a floating type, not int32")
  end)

  it("is refused with its name when options or inputs do not fit", function()
    local conv = nn.Conv2D { filter_shape = { 3, 3, 16, 4 } }
    assert.raises_like(function() conv(convlua.zeros { 1, 8, 8, 3 }) end,
      "'Conv2D' (expected x with 4 axes and 16 channels in the last, got {1, 8, 8, 3})")
    assert.raises_like(function() conv(convlua.zeros { 1, 2, 8, 16 }) end,
      "Conv2D: height: floor((2")
    assert.raises_like(function() conv(3) end, "'Conv2D' (tensor expected, got number)")
    assert.raises_like(function() conv(convlua.zeros { 1, 8, 8, 16 }, nil, nil) end,
      "Conv2D: at most 1 tensor expected")
    assert.raises_like(function() nn.Conv2D { filter_shape = { 3, 3, 1, 1 }, stride = 2 } end,
      "Conv2D: unknown option 'stride'")
    assert.raises_like(function() nn.Conv2D {} end, "Conv2D: option 'filter_shape' is missing")
    assert.raises_like(function() nn.Conv2D { filter_shape = { 3, 3, 1 } } end,
      "filter_shape must be {height, width, in, out}, got {3, 3, 1}")
    assert.raises_like(function() nn.Conv2D { filter_shape = { 3, 3, 1, 1 }, strides = 0 } end,
      "Conv2D: strides must be positive, got 0")
    local _, negative = pcall(nn.Conv2D, { filter_shape = { 3, 3, 1, 1 }, groups = -1 })
    assert.equal("Conv2D: groups must be positive, got -1", negative) -- and not -1.0
    local _, number = pcall(nn.Conv2D, { filter_shape = { 3, 3, 1, 1 }, use_bias = 1 })
    assert.equal("Conv2D: option 'use_bias': boolean expected, got 1", number)
    assert.raises_like(function() nn.Dense { input_size = 0, output_size = 1 } end,
      "input_size and output_size must be positive")
    assert.raises_like(function()
      nn.Conv2D { filter_shape = { 3, 3, 1, 1 }, activation = "reluu" }
    end, "got 'reluu'")
  end)
end)

describe("what a layer computes", function()
  it("is the op with its parameters, then the activation", function()
    local x = convlua.randn { 2, 6, 6, 3 }
    local conv = nn.Conv2D { filter_shape = { 3, 3, 3, 4 }, padding = 1, strides = 2,
      activation = "tanh", bias_initializer = "ones" }
    local y = convlua.conv2d(x, conv.filter, conv.bias, { padding = 1, strides = 2 }):tanh()
    assert.close(y, conv(x))
    local up = nn.TransposedConv2D { filter_shape = { 4, 4, 2, 3 }, strides = 2, padding = "same" }
    assert.same({ 2, 12, 12, 2 }, up(x).shape)
  end)

  -- y and the gradients in `leaves` of what `f` gives, each number weighted differently; with `create_graph` the
  -- gradients' gradients too.
  local function derivatives(f, leaves, create_graph)
    local y = f()
    local weights = convlua.arange(1, y:numel()):reshape(y.shape):cast(y.dtype) % 7 - 3
    local found = core.autograd.grad((y * weights):sum(), leaves, { create_graph = create_graph })
    local all = { y, table.unpack(found) }
    if not create_graph then return all end
    local slope = 0
    for _, g in ipairs(found) do slope = slope + g:square():sum() end
    return table.move(core.autograd.grad(slope, leaves), 1, #leaves, #all + 1, all)
  end

  it("of Dense is a product, a sum and an activation, and so are its gradients", function()
    for _, dtype in ipairs { "float64", "float32" } do
      for _, shape in ipairs { { 1, 9 }, { 130, 9 }, { 2, 3, 9 }, { 9 } } do
        for _, activation in ipairs { "identity", "relu", "tanh" } do
          local dense = nn.Dense { input_size = 9, output_size = 21, activation = activation,
            use_bias = #shape ~= 3, bias_initializer = "he_normal" }:to(dtype)
          local x = convlua.randn(shape):cast(dtype)
          x.requires_grad = true
          local leaves = { x, dense.weight, dense.bias }
          local function apart()
            local y = x:matmul(dense.weight)
            if dense.bias then y = y + dense.bias end
            return convlua[activation](y)
          end
          for _, create_graph in ipairs { false, true } do
            local expected = derivatives(apart, leaves, create_graph)
            for i, found in ipairs(derivatives(function() return dense(x) end, leaves, create_graph)) do
              assert.close(found, expected[i], dtype == "float64" and 1e-10 or 2e-3)
            end
          end
        end
      end
    end
  end)

  it("of Dense keeps NaN, and adds its gradient to another use's", function()
    local dense = nn.Dense { input_size = 2, output_size = 1, activation = "relu" }
    local y = dense(convlua.tensor { { 0 / 0, 1 }, { 1, 1 } }):reshape(-1):to_table()
    assert.is_true(y[1] ~= y[1])
    local x = convlua.randn { 4, 2 }
    x.requires_grad = true
    local z = x * 1
    dense(z):sum():backward { retain_graph = true }
    local alone = x.grad
    x.grad = nil
    local loss = dense(z):sum() + z:sum() * 4 + dense(z):sum()
    loss:backward()
    assert.close(x.grad, alone * 2 + 4)
  end)

  it("of a depthwise convolution is one convolution for each channel", function()
    local x = convlua.randn { 1, 5, 5, 3 }
    local layer = nn.DepthwiseConv2D { filter_shape = { 3, 3, 3, 2 }, use_bias = false }
    local y = layer(x)
    assert.same({ 1, 3, 3, 6 }, y.shape)
    for c = 1, 3 do
      local one = convlua.conv2d(x:slice(4, c, c), layer.filter:slice(3, c, c))
      assert.close(one, y:slice(4, 2 * c - 1, 2 * c), 1e-5)
    end
  end)

  it("of BatchNorm may add a residual", function()
    local norm = nn.BatchNorm { feature_count = 4, activation = "relu" }
    local x, r = convlua.randn { 8, 4 }, convlua.randn { 8, 4 }
    local plain = nn.BatchNorm { feature_count = 4 }
    assert.close((plain(x) + r):relu(), norm(x, r), 1e-5)
    assert.close(plain.running_mean, norm.running_mean)
    assert.raises_like(function() norm(x, convlua.randn { 4 }) end,
      "expected a residual {8, 4} as x")
  end)

  it("of the shape layers is the same numbers", function()
    local x = convlua.arange(1, 24):reshape { 2, 3, 4 }:cast "float32"
    assert.same({ 2, 12 }, nn.Flatten {}(x).shape)
    assert.same({ 2, 2, 6 }, nn.Reshape { shape = { 2, -1 } }(x).shape)
    assert.raises_like(function() nn.Reshape { shape = { 5, -1 } }(x) end,
      "x {2, 3, 4} does not fill {2, 5, -1}")
    local image = x:reshape { 1, 4, 6, 1 }
    assert.same({ 1, 5, 9, 1 },
      nn.ZeroPadding2D { padding = { { 0, 1 }, { 1, 2 } } }(image).shape)
    assert.same({ 1, 8, 18, 1 }, nn.UpSampling2D { size = { 2, 3 } }(image).shape)
    assert.same({ 1, 1 }, nn.GlobalMaxPool2D {}(image).shape)
  end)
end)

describe("multiply_adds", function()
  local function check(layer, shape)
    local x = convlua.randn(shape)
    local result, n = layer:multiply_adds(shape)
    assert.same(layer(x).shape, result)
    return n
  end

  it("gives the shape of the result and how many products are added up", function()
    assert.equal(118013952, (select(2, nn.Conv2D { filter_shape = { 7, 7, 3, 64 }, strides = 2,
      padding = "same" }:multiply_adds { 1, 224, 224, 3 })))
    assert.equal(2 * 5 * 6 * 7, check(nn.Dense { input_size = 6, output_size = 7 }, { 2, 5, 6 }))
    assert.equal(4 * 4 * 9 * 2 * 4, check(nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, groups = 2 },
      { 1, 6, 6, 4 }))
    assert.equal(4 * 4 * 9 * 8, check(nn.DepthwiseConv2D { filter_shape = { 3, 3, 4, 2 } },
      { 1, 6, 6, 4 }))
    assert.equal(3 * 2 * 4 * 5, check(nn.TransposedConv1D { filter_shape = { 4, 5, 2 } },
      { 1, 3, 2 }))
    assert.equal(0, check(nn.MaxPool2D { pool_size = 3, strides = 2, padding = "same" },
      { 1, 7, 8, 2 }))
    assert.equal(0, check(nn.ZeroPadding1D { padding = 2 }, { 1, 7, 2 }))
    assert.equal(0, check(nn.Flatten {}, { 3, 2, 2 }))
    assert.equal(0, check(nn.GlobalAvgPool1D {}, { 3, 2, 2 }))
  end)

  it("refuses what forward refuses", function()
    assert.raises_like(function()
      nn.Dense { input_size = 6, output_size = 7 }:multiply_adds { 2, 5 }
    end, "6 channels in the last, got {2, 5}")
  end)
end)

describe("window", function()
  it("is what receptive fields are made of, or nil", function()
    local filter, stride, dilation = nn.Conv2D { filter_shape = { 3, 5, 1, 1 }, strides = 2,
      dilations = { 1, 4 } }:window()
    assert.same({ { 3, 5 }, { 2, 2 }, { 1, 4 } }, { filter, stride, dilation })
    assert.same({ { 3 }, { 3 }, { 1 } }, { nn.MaxPool1D { pool_size = 3 }:window() })
    assert.is_nil(nn.BatchNorm { feature_count = 1 }:window())
  end)
end)

describe("initializers", function()
  local function filter(name)
    return nn.Conv2D { filter_shape = { 3, 3, 32, 64 }, filter_initializer = name }.filter:detach()
  end

  local function deviation(x) return (x * x):mean():item() ^ 0.5 end

  it("have the deviations of their papers", function()
    local fan_in, fan_out = 9 * 32, 9 * 64
    local glorot = (2 / (fan_in + fan_out)) ^ 0.5
    local expected = {
      glorot_uniform = glorot, glorot_normal = glorot,
      he_uniform = (2 / fan_in) ^ 0.5, he_normal = (2 / fan_in) ^ 0.5,
      lecun_uniform = (1 / fan_in) ^ 0.5, lecun_normal = (1 / fan_in) ^ 0.5,
    }
    for name, value in pairs(expected) do
      local w = filter(name)
      assert.close(1, deviation(w) / value, 0.02)
      local largest = w:abs():max():item()
      if name:find "uniform" then
        assert.truthy(largest <= value * 3 ^ 0.5 and largest > value * 1.7)
      else
        assert.truthy(largest > 3 * value)
      end
    end
    assert.equal(0, deviation(filter "zeros"))
    assert.equal(1, deviation(filter "ones"))
  end)

  it("orthogonal makes orthonormal columns", function()
    local w = nn.Dense { input_size = 20, output_size = 8,
      weight_initializer = "orthogonal" }.weight:detach()
    assert.close(convlua.eye(8), w:transpose(1, 2):matmul(w), 1e-6)
  end)

  it("draw from the global generator: a seed repeats them, for any number of threads", function()
    local before = core.threads()
    convlua.manual_seed(3)
    local first = filter "he_normal":to_bytes()
    core.threads(before == 1 and 2 or 1)
    local second = filter "he_normal":to_bytes()
    convlua.manual_seed(3)
    assert.equal(first, filter "he_normal":to_bytes())
    assert.not_equal(first, second)
    core.threads(before)
  end)
end)
