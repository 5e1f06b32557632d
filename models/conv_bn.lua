--- A convolution without bias and the batch normalization behind it: residual networks' brick.
--
--   y = act(norm(conv(x)) [+ residual])
-- Ioffe & Szegedy 2015, arXiv:1502.03167. The offset of the normalization does a bias's work.
-- The two layers are one op: activation and residual are computed in the normalization's own
-- pass over memory, and in inference all of it while the convolution's results are at hand.
--
-- x {N, H, W, C}   y {N, ceil(H / stride), ceil(W / stride), K}   residual of y's shape

local nn = require "convlua".nn

local ConvBN = nn.Module("ConvBN", function(self, given)
  local o = nn.options(given, {
    filter_shape = nn.required, -- {height, width, C, K}
    strides = 1,
    padding = "same",
    activation = "identity",
    momentum = 0.9, -- of the running statistics: the part that stays
    epsilon = 1e-5,
  }, "ConvBN")
  self.conv = nn.Conv2D{
    filter_shape = o.filter_shape, strides = o.strides, padding = o.padding, use_bias = false,
  }
  self.norm = nn.BatchNorm{
    feature_count = o.filter_shape[4], momentum = o.momentum, epsilon = o.epsilon,
    activation = o.activation,
  }
end)

function ConvBN:forward(x, residual)
  return nn.conv_norm(self.conv, self.norm, x, residual) -- self.norm(self.conv(x), residual)
end

return ConvBN
