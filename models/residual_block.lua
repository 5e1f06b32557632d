--- Residual blocks. He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition,
-- arXiv:1512.03385, eq. 1 and 2:
--
--   y = relu(F(x) + x)         when x has the shape of F(x)
--   y = relu(F(x) + W_s x)     otherwise; W_s is a 1 x 1 convolution with the block's stride
--
-- BasicBlock    F: 3x3 - relu - 3x3                      (figure 5, left)
-- Bottleneck    F: 1x1 - relu - 3x3 - relu - 1x1, the last with 4 times as many features (right)
-- Every convolution is followed by batch normalization, also W_s. What lies between two of them is given
-- up as soon as it has been used, unless the tape needs it: in inference the next block finds its memory
-- still in the caches. W_s x is made before F(x): on the way back its gradient, zero at the pixels that a
-- stride leaves out, is then added to that of F(x), and not the other way round.
--
-- x {N, H, W, in_features}   y {N, ceil(H / stride), ceil(W / stride), features * expansion}

local nn = require "convlua".nn
local ConvBN = require "models.conv_bn"

local defaults = {
  in_features = nn.required,
  features = nn.required, -- of the 3 x 3 convolutions
  stride = 1,
  version = 1.5, -- of a Bottleneck: see there
  padding = "same", -- or "symmetric": one pixel on every side, as PyTorch has it
  momentum = 0.9,
  epsilon = 1e-5,
}

--- A function that makes the block's ConvBN parts: brick(size, C, K, stride, activation).
local function bricks(o)
  return function(size, from, to, stride, activation)
    return ConvBN{
      filter_shape = { size, size, from, to },
      strides = stride,
      padding = o.padding == "symmetric" and size // 2 or "same",
      activation = activation,
      momentum = o.momentum,
      epsilon = o.epsilon,
    }
  end
end

--- W_s of eq. 2, or nil where the identity will do.
local function projection(brick, o, out_features)
  if o.stride == 1 and o.in_features == out_features then return nil end
  return brick(1, o.in_features, out_features, o.stride)
end

local BasicBlock = nn.Module("BasicBlock", function(self, given)
  local o = nn.options(given, defaults, "BasicBlock")
  local brick = bricks(o)
  self.early_conv = brick(3, o.in_features, o.features, o.stride, "relu")
  self.last_conv = brick(3, o.features, o.features, 1, "relu")
  self.projection = projection(brick, o, o.features)
end)
BasicBlock.expansion = 1

function BasicBlock:forward(x)
  local shortcut <close> = self.projection and self.projection(x)
  local early <close> = self.early_conv(x)
  return self.last_conv(early, shortcut or x) -- relu(norm(conv) + x)
end

--- The stride is the 3 x 3 convolution's (version 1.5, which nearly everybody trains), or the first
-- 1 x 1 convolution's, as in the paper (version 1).
local Bottleneck = nn.Module("Bottleneck", function(self, given)
  local o = nn.options(given, defaults, "Bottleneck")
  local brick = bricks(o)
  local as_in_paper = o.version == 1
  local out_features = 4 * o.features
  self.early_conv = brick(1, o.in_features, o.features, as_in_paper and o.stride or 1, "relu")
  self.middle_conv = brick(3, o.features, o.features, as_in_paper and 1 or o.stride, "relu")
  self.last_conv = brick(1, o.features, out_features, 1, "relu")
  self.projection = projection(brick, o, out_features)
end)
Bottleneck.expansion = 4

function Bottleneck:forward(x)
  local shortcut <close> = self.projection and self.projection(x)
  local early <close> = self.early_conv(x)
  local middle <close> = self.middle_conv(early)
  return self.last_conv(middle, shortcut or x)
end

return { BasicBlock = BasicBlock, Bottleneck = Bottleneck }
