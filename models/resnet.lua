--- ResNet. He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385.
--
--   resnet.ResNet18{ class_count = 10 }        also 34, 50, 101, 152
--
-- stem, four stages of residual blocks (models/residual_block.lua), the mean over the map, a linear
-- classifier. Stages 2, 3 and 4 begin with stride 2 and double the features: 64, 128, 256, 512.
--
-- x {N, H, W, C}   y {N, class_count}, the logits
--
-- Differences from the paper: shortcuts change shape by projection (its option B); Bottleneck has
-- its stride in the 3 x 3 convolution (version 1.5; `version = 1` for the paper's); filters start
-- as Glorot & Bengio 2010 rather than He et al. 2015.

local nn = require "convlua".nn
local ConvBN = require "models.conv_bn"
local blocks = require "models.residual_block"

-- Table 1 of the paper: block, and blocks per stage.
local depths = {
  [18] = { blocks.BasicBlock, { 2, 2, 2, 2 } },
  [34] = { blocks.BasicBlock, { 3, 4, 6, 3 } },
  [50] = { blocks.Bottleneck, { 3, 4, 6, 3 } },
  [101] = { blocks.Bottleneck, { 3, 4, 23, 3 } },
  [152] = { blocks.Bottleneck, { 3, 8, 36, 3 } },
}

local defaults = {
  class_count = nn.required,
  channel_count = 3,
  stem = "imagenet", -- 7 x 7 / 2 and max-pooling 3 x 3 / 2; or "cifar": 3 x 3 / 1 alone
  padding = "same", -- or "symmetric", as PyTorch has it
  version = 1.5,
  width = 64, -- features of the first stage
  momentum = nn.optional, -- of BatchNorm's running statistics: the part that stays; default 0.9
  epsilon = 1e-5,
  preset = nn.optional, -- "book": see below
}

-- Values that `preset` puts in the place of defaults. "book": the ResNet18 of the chapter on
-- convolutional networks, whose momentum keeps only a tenth of the past.
local presets = { book = { momentum = 0.1 } }

local ResNet = nn.Module("ResNet", function(self, depth, given)
  local name = "ResNet" .. depth
  self.__name = name -- as it is printed
  local o = nn.options(given, defaults, name)
  nn.choice(o.stem, { "imagenet", "cifar" }, "stem", name)
  nn.choice(o.padding, { "same", "symmetric" }, "padding", name)
  nn.choice(o.version, { 1, 1.5 }, "version", name)
  local preset = o.preset and presets[nn.choice(o.preset, { "book" }, "preset", name)] or {}
  local momentum = o.momentum or preset.momentum or 0.9
  local Block, counts = table.unpack(depths[depth])
  local symmetric = o.padding == "symmetric"

  local large = o.stem == "imagenet"
  local size = large and 7 or 3
  self.stem = ConvBN{
    filter_shape = { size, size, o.channel_count, o.width },
    strides = large and 2 or 1,
    padding = symmetric and size // 2 or "same",
    activation = "relu", momentum = momentum, epsilon = o.epsilon,
  }
  if large then
    self.pool = nn.MaxPool2D{ pool_size = 3, strides = 2, padding = symmetric and 1 or "same" }
  end

  self.stages = {}
  local from = o.width
  for stage, count in ipairs(counts) do
    local features = o.width << (stage - 1)
    self.stages[stage] = {}
    for i = 1, count do
      self.stages[stage][i] = Block{
        in_features = from, features = features, stride = stage > 1 and i == 1 and 2 or 1,
        version = o.version, padding = o.padding, momentum = momentum, epsilon = o.epsilon,
      }
      from = features * Block.expansion
    end
  end

  self.mean = nn.GlobalAvgPool2D{}
  self.classifier = nn.Dense{ input_size = from, output_size = o.class_count }
end)

function ResNet:forward(x)
  x = self.stem(x)
  if self.pool then x = self.pool(x) end
  for _, stage in ipairs(self.stages) do
    for _, block in ipairs(stage) do x = block(x) end
  end
  return self.classifier(self.mean(x))
end

local resnet = { ResNet = ResNet }
for depth in pairs(depths) do
  resnet["ResNet" .. depth] = function(given) return ResNet(depth, given) end
end
return resnet
