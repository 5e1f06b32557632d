-- The models: that they are built as their papers say. Their numbers are in book_numbers_spec.lua.

local convlua = require "convlua"
local models = require "models"
local blocks = require "models.residual_block"
local ConvBN = require "models.conv_bn"
local resnet = require "models.resnet"
local lenet = require "models.lenet"

describe("models", function()
  it("are known by name", function()
    for name in ("airbench lenet resnet18 resnet34 resnet50 resnet101 resnet152"):gmatch "%w+" do
      assert.truthy(models[name], name)
    end
    assert.equal("ResNet18", models.resnet18 { class_count = 2, width = 4 }.__name)
  end)

  it("refuse options they do not know, and want those they need", function()
    assert.raises_like(function() resnet.ResNet18 {} end,
      "ResNet18: option 'class_count' is missing")
    assert.raises_like(function() resnet.ResNet18 { class_count = 2, stems = 1 } end,
      "ResNet18: unknown option 'stems'; there are channel_count, class_count,")
    assert.raises_like(function() resnet.ResNet34 { class_count = 2, stem = "large" } end,
      "ResNet34: stem must be one of imagenet, cifar, got 'large'")
    assert.raises_like(function() lenet.LeNet { pooling = "min" } end,
      "LeNet: pooling must be one of average, max, got 'min'")
  end)
end)

describe("ConvBN", function()
  it("is convolution, normalization, residual and activation", function()
    local m = ConvBN { filter_shape = { 3, 3, 2, 4 }, activation = "relu" }
    local x, residual = convlua.randn { 2, 5, 5, 2 }, convlua.randn { 2, 5, 5, 4 }
    local y = m(x, residual)
    local z = convlua.conv2d(x, m.conv.filter, nil, { padding = "same" })
    local mean = z:mean({ 1, 2, 3 }, { keep = true })
    local variance = (z - mean):square():mean({ 1, 2, 3 }, { keep = true })
    assert.close(y, ((z - mean) / (variance + 1e-5):sqrt() + residual):relu(), 1e-4)
  end)
end)

describe("residual blocks", function()
  it("have the identity for a shortcut where the shape stays", function()
    local block = blocks.BasicBlock { in_features = 4, features = 4 }
    assert.is_nil(block.projection)
    block.last_conv.norm.scale = convlua.zeros { 4 } -- F(x) = 0
    local x = convlua.rand { 1, 6, 6, 4 }
    assert.close(block(x), x)
  end)

  it("project where stride or features change", function()
    for _, o in ipairs { { stride = 2 }, { features = 8 }, { stride = 2, features = 8 } } do
      local block = blocks.BasicBlock { in_features = 4, features = o.features or 4,
        stride = o.stride or 1 }
      assert.truthy(block.projection)
      local size = 7 // (o.stride or 1) + (o.stride and 1 or 0)
      assert.same({ 2, size, size, o.features or 4 }, block(convlua.zeros { 2, 7, 7, 4 }).shape)
    end
  end)

  it("have their stride where the version says", function()
    local function strides(version)
      local o = { in_features = 8, features = 4, stride = 2, version = version }
      local s = blocks.Bottleneck(o):summary { 8, 8, 8 }
      local sizes = {}
      for _, row in ipairs(s.rows) do
        if row.layer == "Conv2D" then sizes[row.path] = row.output_shape[1] end
      end
      return { sizes["early_conv.conv"], sizes["middle_conv.conv"], sizes["last_conv.conv"] }
    end
    assert.same({ 8, 4, 4 }, strides(1.5))
    assert.same({ 4, 4, 4 }, strides(1))
  end)

  it("name their parameters so", function()
    local block = blocks.BasicBlock { in_features = 4, features = 8, stride = 2 }
    local list = {}
    for path in block:named_parameters() do list[#list + 1] = path end
    assert.same({
      "early_conv.conv.filter", "early_conv.norm.offset", "early_conv.norm.scale",
      "last_conv.conv.filter", "last_conv.norm.offset", "last_conv.norm.scale",
      "projection.conv.filter", "projection.norm.offset", "projection.norm.scale",
    }, list)
  end)
end)

describe("ResNet", function()
  it("keeps the momentum of the running statistics that it is told", function()
    local function momentum(options)
      options.class_count, options.width = 3, 4
      local model = resnet.ResNet18(options)
      return model.stages[4][2].last_conv.norm.options.momentum
    end
    assert.equal(0.9, momentum {})
    assert.equal(0.1, momentum { preset = "book" })
    assert.equal(0.99, momentum { preset = "book", momentum = 0.99 })
  end)

  it("pads like TensorFlow, or on both sides", function()
    local function stem(padding)
      local model = resnet.ResNet18 { class_count = 3, width = 4, padding = padding }
      return model.stem.conv.options.padding, model.pool.options.padding,
        model.stages[1][1].early_conv.conv.options.padding
    end
    assert.same({ "same", "same", "same" }, { stem "same" })
    assert.same({ 3, 1, 1 }, { stem "symmetric" })
  end)

  it("gives logits for any size of image, with gradients everywhere", function()
    local model = resnet.ResNet18 { class_count = 3, width = 4, stem = "cifar" }
    assert.same({ 2, 3 }, model(convlua.randn { 2, 20, 24, 3 }).shape)
    model(convlua.randn { 2, 16, 16, 3 }):square():sum():backward()
    for path, tensor in model:named_parameters() do assert.truthy(tensor.grad, path) end
  end)

  it("is the same in evaluation for every batch", function()
    local model = resnet.ResNet18 { class_count = 3, width = 4 }:eval()
    local x = convlua.randn { 3, 32, 32, 3 }
    local all, one = model(x), model(x:slice(1, 2, 2))
    assert.close(one, all:slice(1, 2, 2), 1e-5)
  end)
end)

describe("LeNet", function()
  it("learns two images apart", function()
    convlua.manual_seed(1)
    local model = lenet.LeNet { class_count = 2 }
    local x, labels = convlua.randn { 2, 32, 32, 3 }, convlua.tensor({ 1, 2 }, { dtype = "int64" })
    local sgd = convlua.optim.SGD(model, { learning_rate = 0.05, momentum = 0.9 })
    local first, last
    for _ = 1, 20 do
      sgd:zero_grad()
      local loss = convlua.nn.softmax_cross_entropy(model(x), labels)
      loss:backward()
      sgd:step()
      first, last = first or loss:item(), loss:item()
    end
    assert(last < first / 10, ("loss %g, then %g"):format(first, last))
  end)
end)

describe("Airbench", function()
  local Airbench = require "models.airbench".Airbench

  it("starts as the identity, behind a whitening of patches", function()
    convlua.manual_seed(2)
    local m = Airbench { widths = { 32, 16 } }
    local x = convlua.rand { 3, 9, 9, 24 }
    local filter = m.blocks[1].conv1.filter
    assert.close(x, convlua.conv2d(x, filter, nil, { padding = "same" }):slice(4, 1, 24), 1e-6)
    assert.is_true(filter:slice(4, 25):abs():max():item() <= 1 / 216 ^ 0.5)
    assert.close(x:slice(4, 1, 16), convlua.conv2d(convlua.concat({ x, x:slice(4, 1, 8) }, 4),
      m.blocks[2].conv1.filter, nil, { padding = "same" }), 1e-6)

    local images = convlua.randn { 200, 6, 6, 3 }:matmul(convlua.randn { 3, 3 })
    m:whiten_from(images)
    local white = m.whiten(images):reshape(-1, 24)
    assert.close(white:slice(2, 1, 12), -white:slice(2, 13), 1e-4)
    white = white:slice(2, 1, 12)
    assert.close(white:transpose():matmul(white) / white.shape[1], convlua.eye(12), 2e-2)
  end)

  it("has two million parameters, of which its loss moves those that are learnt", function()
    local m = Airbench {}
    assert.equal(1972792, m:count_parameters())
    local logits = m(convlua.randn { 4, 32, 32, 3 })
    assert.same({ 4, 10 }, logits.shape)
    assert.same({ 4, 10 }, m(convlua.randn { 4, 20, 9, 3 }).shape) -- of any size from 9 on
    convlua.nn.softmax_cross_entropy(logits, convlua.tensor({ 1, 2, 3, 4 }, { dtype = "int64" })):backward()
    for path, parameter in m:named_parameters() do
      local fixed = path == "whiten.filter" or path:find "scale$"
      assert.equal(fixed == nil or fixed == false, parameter.grad ~= nil, path)
    end
  end)
end)
