--- LeNet-5, as the chapter on convolutional networks has it. After LeCun, Bottou, Bengio, Haffner:
-- Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86 (1998), 2278-2324.
--
--   conv 5x5, 6 - relu - pool 2x2 - conv 5x5, 16 - relu - pool 2x2 - dense 120 - 84 - classes
-- x {N, 32, 32, C}   y {N, class_count}, the logits.   62,006 parameters for C = 3 and 10 classes
--
-- Differences from the paper: relu for tanh, every map of the second convolution sees all of the
-- first's, plain average pooling without coefficients, a linear last layer instead of RBF units.

local nn = require "convlua".nn

local LeNet = nn.Module("LeNet", function(self, given)
  local o = nn.options(given, {
    class_count = 10,
    channel_count = 3,
    pooling = "average", -- or "max"
  }, "LeNet")
  nn.choice(o.pooling, { "average", "max" }, "pooling", "LeNet")
  local Pool = o.pooling == "max" and nn.MaxPool2D or nn.AvgPool2D

  self.conv1 = nn.Conv2D{ filter_shape = { 5, 5, o.channel_count, 6 }, activation = "relu" }
  self.pool1 = Pool{ pool_size = 2, strides = 2 }
  self.conv2 = nn.Conv2D{ filter_shape = { 5, 5, 6, 16 }, activation = "relu" }
  self.pool2 = Pool{ pool_size = 2, strides = 2 }
  self.flatten = nn.Flatten{}
  self.dense1 = nn.Dense{ input_size = 400, output_size = 120, activation = "relu" }
  self.dense2 = nn.Dense{ input_size = 120, output_size = 84, activation = "relu" }
  self.dense3 = nn.Dense{ input_size = 84, output_size = o.class_count }
end)

function LeNet:forward(x)
  return x:through(self.conv1, self.pool1, self.conv2, self.pool2, self.flatten,
    self.dense1, self.dense2, self.dense3)
end

return { LeNet = LeNet }
