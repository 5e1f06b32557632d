--- The parts of bench.lua that measure models: training steps, and inference.

local convlua = require "convlua"
local models = require "models"
local nn, optim = convlua.nn, convlua.optim

local MLP = nn.Module("MLP", function(self)
  self.dense1 = nn.Dense{ input_size = 784, output_size = 256, activation = "relu" }
  self.dense2 = nn.Dense{ input_size = 256, output_size = 128, activation = "relu" }
  self.dense3 = nn.Dense{ input_size = 128, output_size = 10 }
end)

function MLP:forward(x) return x:through(self.dense1, self.dense2, self.dense3) end

--- A model by the name that bench_torch.py knows, and an input for it.
local function network(name, batch_size)
  if name == "mlp" then return MLP(), convlua.randn { batch_size, 784 } end
  local stem = name:match "^resnet18%-(.*)$"
  local model = stem and models.resnet18 { class_count = 10, stem = stem } or models[name] { class_count = 10 }
  return model, convlua.randn { batch_size, 32, 32, 3 }
end

return function(bench)
  local o, parts = bench.options, {}

  local function tell(title, kind, name, batch_size, step)
    local t = bench.measure(step)
    t.images_per_s = batch_size / t.median
    bench.note(title, t)
    bench.line(title, "%8.3f ms (%.3f to %.3f)  %7.0f img/s", t.median * 1e3, t.min * 1e3, t.max * 1e3,
      t.images_per_s)
    bench.compare(title, kind, name, batch_size, { [kind] = step })
  end

  local function training(title, name, batch_size)
    if not bench.wanted(title) then return end
    local model, x = network(name, batch_size)
    local sgd = optim.SGD(model, { learning_rate = 0.01, momentum = 0.9 })
    local y = convlua.randint(1, 10, { batch_size })
    tell(title, "step", name, batch_size, function()
      sgd:zero_grad()
      nn.softmax_cross_entropy(model(x), y):backward()
      sgd:step()
    end)
  end

  local function inference(title, name, batch_size)
    if not bench.wanted(title) then return end
    local model, x = network(name, batch_size)
    model:eval()
    tell(title, "inference", name, batch_size, function()
      convlua.no_grad(function() return model(x) end)
    end)
  end

  function parts.resnet18()
    for _, stem in ipairs { "imagenet", "cifar" } do
      training(("resnet18 step, %s stem"):format(stem), "resnet18-" .. stem, o.batch_size)
    end
  end

  function parts.lenet() training("lenet step", "lenet", o.batch_size) end

  function parts.mlp() training("mlp 784-256-128-10 step, batch 1", "mlp", 1) end

  function parts.inference()
    for _, stem in ipairs { "imagenet", "cifar" } do
      for _, batch_size in ipairs { o.batch_size, 1 } do
        inference(("resnet18 inference, %s stem, %d"):format(stem, batch_size), "resnet18-" .. stem, batch_size)
      end
    end
  end

  return parts
end
