-- Where a number that is not finite came from, in a real network.

local convlua = require "convlua"
local nn, optim, train = convlua.nn, convlua.optim, convlua.train

local function new_loop(non_finite)
  convlua.manual_seed(1)
  local model = require "models".lenet { class_count = 10 }
  local batches = {}
  for i = 1, 3 do batches[i] = { convlua.randn { 2, 32, 32, 3 }, convlua.randint(1, 10, { 2 }) } end
  return train.Loop{ training = batches, optimizer = optim.SGD(model, { learning_rate = 0.01 }),
    loss = nn.softmax_cross_entropy, non_finite = non_finite }, model, batches
end

local function fails(loop, model, text)
  assert.raises_like(function() loop:fit(model, { epochs = 1 }) end, text)
end

describe("the guard", function()
  it("names the layer whose output is the first that is not finite", function()
    local loop, model = new_loop()
    convlua.no_grad(function()
      model.conv1.filter:fill_(1e25)
      model.conv2.filter:fill_(1e25)
    end)
    fails(loop, model, "the first number that is not finite is in the output of layer 'conv2' (Conv2D)")
  end)

  it("names a parameter that is not finite by itself", function()
    local loop, model = new_loop()
    convlua.no_grad(function() model.dense1.bias:fill_(0 / 0) end)
    fails(loop, model, "epoch 1, batch 1: the loss is")
    fails(loop, model, "is in the parameter 'dense1.bias'")
  end)

  it("names the batch when its input is not finite", function()
    local loop, model, batches = new_loop()
    batches[2][1]:fill_(1 / 0)
    fails(loop, model, "epoch 1, batch 2")
    fails(loop, model, "is in the input of the batch")
  end)

  it("catches a gradient that is not finite behind a loss that is", function()
    local loop, model = new_loop()
    loop.loss = function(y, t)
      local zero = (y * 0):sum()
      return nn.softmax_cross_entropy(y, t) + zero:sqrt() -- 0 there, with an infinite slope
    end
    fails(loop, model, "the gradient of '")
    fails(loop, model, "every layer's output is finite")
  end)

  it("leaves the weights as they were", function()
    local loop, model, batches = new_loop()
    batches[1][1]:fill_(0 / 0)
    local before = model.dense3.weight:to_bytes()
    fails(loop, model, "batch 1")
    assert.equal(before, model.dense3.weight:to_bytes())
  end)
end)

describe("a skipped batch", function()
  it("leaves no mark in the running statistics of BatchNorm", function()
    convlua.manual_seed(1)
    local model = nn.Sequential { nn.Conv2D { filter_shape = { 1, 1, 3, 4 } }, nn.BatchNorm { feature_count = 4 },
      nn.GlobalAvgPool2D {} }
    local bad = convlua.full({ 2, 4, 4, 3 }, 0 / 0)
    local good = convlua.randn { 2, 4, 4, 3 }
    local labels = convlua.randint(1, 4, { 2 })
    local loop = train.Loop{ training = { { good, labels }, { bad, labels }, { good, labels } },
      optimizer = optim.SGD(model, { learning_rate = 0.01 }), loss = nn.softmax_cross_entropy,
      non_finite = "skip" }
    loop:fit(model, { epochs = 1 })
    assert.equal(2, loop.step_count)
    for path, buffer in model:named_buffers() do
      assert.equal(0, convlua.is_finite(buffer):logical_not():sum():item(), path)
    end
  end)
end)
