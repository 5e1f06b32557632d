--- A small network that learns CIFAR-10 in minutes. Jordan: 94% on CIFAR-10 in 3.29 Seconds on a
-- Single GPU, arXiv:2404.00498, section 3; with figures of the author's later version for Muon.
--
--   whiten 2x2, 24 - gelu - block 64 - block 256 - block 256 - max-pool - dense, logits / 256
--   block: conv 3x3 - max-pool 2 - norm - gelu - conv 3x3 - norm - gelu
-- x {N, H, W, 3}, normalized, H and W 9 or more, 32 in the paper   y {N, class_count}, the logits
--
-- The first filter is not learnt: it whitens 2 x 2 patches, see :whiten_from. Convolutions start as
-- the identity as far as they have channels (section 3.2), norms have no scale, the dense layer no
-- bias.

local convlua = require "convlua"
local nn = convlua.nn

local PATCH = 2 -- of the whitening, in pixels

local function conv(from, to)
  local layer = nn.Conv2D{
    filter_shape = { 3, 3, from, to }, padding = "same", use_bias = false,
    filter_initializer = "lecun_uniform",
  }
  convlua.no_grad(function()
    local filter = layer.filter
    filter:copy_(filter / 3 ^ 0.5) -- uniform within 1 / sqrt(fan in)
    local outputs = math.min(from, to)
    local identity = filter:slice(4, 1, outputs)
    identity:zero_()
    identity[2][2]:copy_(convlua.eye(from):slice(2, 1, outputs)) -- the tap in the middle
  end)
  return layer
end

local function norm(features, momentum)
  local layer = nn.BatchNorm{ feature_count = features, momentum = momentum, epsilon = 1e-12 }
  layer.scale.requires_grad = false
  return layer
end

local Block = nn.Module("Block", function(self, o)
  self.conv1 = conv(o.from, o.to)
  self.pool = nn.MaxPool2D{ pool_size = 2 }
  self.norm1 = norm(o.to, o.momentum)
  self.conv2 = conv(o.to, o.to)
  self.norm2 = norm(o.to, o.momentum)
end)

function Block:forward(x)
  x = nn.gelu(self.norm1(self.pool(self.conv1(x))))
  return nn.gelu(self.norm2(self.conv2(x)))
end

local Airbench = nn.Module("Airbench", function(self, given)
  local o = nn.options(given, {
    class_count = 10,
    widths = { 64, 256, 256 },
    momentum = 0.6, -- of the running statistics: the part that stays
  }, "Airbench")
  local width = 2 * PATCH * PATCH * 3
  self.whiten = nn.Conv2D{ filter_shape = { PATCH, PATCH, 3, width }, padding = "valid" }
  self.whiten.filter.requires_grad = false
  self.blocks = {}
  for i, to in ipairs(o.widths) do
    self.blocks[i] = Block{ from = i == 1 and width or o.widths[i - 1], to = to, momentum = o.momentum }
  end
  self.pool = nn.GlobalMaxPool2D{}
  self.last_width = o.widths[#o.widths]
  self.head = nn.Dense{ input_size = self.last_width, output_size = o.class_count, use_bias = false,
    weight_initializer = "lecun_uniform" }
  convlua.no_grad(function() -- unit deviation
    local w = self.head.weight
    w:copy_(w / w:std())
  end)
end)

--- Sets the first filter from images {N, H, W, 3}, as the network will see them: the eigenvectors of
-- the covariance of their patches, each divided by the root of its eigenvalue, and the negatives.
function Airbench:whiten_from(images)
  convlua.no_grad(function()
    local height, width = images.shape[2], images.shape[3]
    local shifted = {}
    for i = 1, PATCH do
      for j = 1, PATCH do
        shifted[#shifted + 1] = images:slice(2, i, height - PATCH + i):slice(3, j, width - PATCH + j)
      end
    end
    local patches = convlua.concat(shifted, 4):reshape(-1, #shifted * 3) -- in the filter's order
    local covariance = patches:transpose():matmul(patches) / patches.shape[1]
    local values, vectors = convlua.linalg.eigh(covariance)
    local filter = (vectors / (values + 5e-4):sqrt()):to "float32"
    self.whiten.filter:copy_(convlua.concat({ filter, -filter }, 2):reshape(PATCH, PATCH, 3, -1))
  end)
end

function Airbench:forward(x)
  x = nn.gelu(self.whiten(x))
  for _, block in ipairs(self.blocks) do x = block(x) end
  return self.head(self.pool(x)) / self.last_width
end

return { Airbench = Airbench }
