-- A convolution and a BatchNorm that trains as one op (nn.conv_norm), against the two layers in turn.

local convlua = require "convlua"
local core = require "convlua.core"
local nn = convlua.nn
local grad = core.autograd.grad

-- The convolution's options and the shape of x: algorithms that leave the moments of their results - many tiles, few for
-- many filters, tiles that stick out, stride 2, maps of 2 x 2, one axis, cells of a stride - and such that do not.
local cases = {
  { nn.Conv2D, { filter_shape = { 3, 3, 32, 40 }, padding = 1, use_bias = false }, { 9, 12, 16, 32 } },
  { nn.Conv2D, { filter_shape = { 3, 3, 130, 200 }, padding = 1 }, { 5, 4, 4, 130 } },
  { nn.Conv2D, { filter_shape = { 3, 3, 20, 33 }, padding = "same" }, { 7, 7, 6, 20 } },
  { nn.Conv2D, { filter_shape = { 3, 3, 24, 40 }, strides = 2, padding = "same" }, { 8, 17, 16, 24 } },
  { nn.Conv2D, { filter_shape = { 3, 3, 64, 64 }, padding = 1 }, { 40, 2, 2, 64 } },
  { nn.Conv2D, { filter_shape = { 4, 4, 16, 24 }, padding = "same" }, { 6, 9, 8, 16 } },
  { nn.Conv2D, { filter_shape = { 7, 7, 3, 64 }, strides = 2, padding = "same" }, { 6, 32, 32, 3 } },
  { nn.Conv1D, { filter_shape = { 3, 64, 64 }, padding = 1 }, { 5, 60, 64 } },
  { nn.Conv2D, { filter_shape = { 1, 1, 33, 16 }, strides = 2 }, { 4, 5, 5, 33 } },
  { nn.Conv2D, { filter_shape = { 3, 3, 1, 24 }, groups = 24, padding = 1 }, { 2, 6, 6, 24 } },
  { nn.Conv2D, { filter_shape = { 3, 3, 3, 8 }, padding = "same" }, { 16, 7, 6, 3 } },
}

local function layers(case, activation)
  local conv = case[1](case[2])
  local K = case[2].filter_shape[#case[2].filter_shape]
  local norm = nn.BatchNorm{ feature_count = K, activation = activation, momentum = 0.9 }
  convlua.no_grad(function()
    if conv.bias then conv.bias:copy_(convlua.randn { K }) end
    norm.scale:copy_(convlua.randn { K })
    norm.offset:copy_(convlua.randn { K })
  end)
  return conv, norm
end

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

local function norm_of(x) return (x * x):sum():item() ^ 0.5 end

local function assert_close(a, b, tolerance, what)
  local apart = norm_of(a:cast "float64" - b:cast "float64") / math.max(norm_of(b:cast "float64"), 1e-3)
  assert(apart <= tolerance, ("%s: %g apart"):format(what, apart))
end

local function joined(conv, norm, x, residual) return nn.conv_norm(conv, norm, x, residual) end
local function in_turn(conv, norm, x, residual) return norm(conv(x), residual) end

--- y, the running statistics and all gradients of `f`, each element of y weighted differently.
local function everything(f, conv, norm, x, residual)
  convlua.no_grad(function()
    norm.running_mean:fill_(0.25)
    norm.running_var:fill_(2)
  end)
  local y = f(conv, norm, x, residual)
  local weights = (convlua.arange(1, y:numel()) % 7 - 3):reshape(y.shape):cast(y.dtype)
  local leaves = { x, conv.filter, norm.scale, norm.offset, residual }
  local found = grad((y * weights):sum(), leaves)
  table.insert(found, 1, y:detach())
  table.insert(found, norm.running_mean:clone())
  table.insert(found, norm.running_var:clone())
  return found
end

local function bytes(list)
  local all = {}
  for i, x in ipairs(list) do all[i] = x:detach():to_bytes() end
  return table.concat(all)
end

describe("nn.conv_norm in training", function()
  for i, case in ipairs(cases) do
    it(("is one op that gives what the two layers give, case %d"):format(i), function()
      for _, activation in ipairs { "identity", "relu" } do
        for _, with_residual in ipairs { false, true } do
          convlua.manual_seed(i)
          local conv, norm = layers(case, activation)
          local x = leaf(convlua.randn(case[3]))
          local residual = with_residual and leaf(convlua.randn(conv(x).shape)) or nil
          assert.equal("conv_batch_norm", nn.conv_norm(conv, norm, x, residual).made_by)
          local one = everything(joined, conv, norm, x, residual)
          local two = everything(in_turn, conv, norm, x, residual)
          for j = 1, #two do
            assert_close(one[j], two[j], 2e-5, ("%s, result %d"):format(activation, j))
          end
        end
      end
    end)
  end

  it("gives the same bits on any number of threads", function()
    local before = core.threads()
    for i, case in ipairs(cases) do
      convlua.manual_seed(i)
      local conv, norm = layers(case, "relu")
      local x = leaf(convlua.randn(case[3]))
      local first
      for _, threads in ipairs { 1, 2, 5 } do
        core.threads(threads)
        local got = bytes(everything(joined, conv, norm, x))
        first = first or got
        assert.is_true(got == first, ("case %d, %d threads"):format(i, threads))
      end
    end
    core.threads(before)
  end)

  it("loses no digits to a large mean", function()
    -- no padding, whose zeros would make differences
    local conv, norm = layers({ nn.Conv2D, { filter_shape = { 3, 3, 32, 40 } } }, "identity")
    local x = convlua.randn { 9, 12, 16, 32 } * 1e-2 + 1
    convlua.no_grad(function()
      conv.filter:copy_(conv.filter:abs() + 0.1)
      norm.scale:fill_(1)
    end)
    local one = joined(conv, norm, x)
    local between = conv(x)
    local exact = nn.BatchNorm{ feature_count = 40 }:to "float64"
    exact.offset:detach():copy_(norm.offset:detach():cast "float64")
    assert_close(one, exact(between:cast "float64"), 1e-3, "y") -- the mean is a thousand deviations
  end)

  it("can be differentiated twice", function()
    for _, i in ipairs { 1, 4, 9 } do
      convlua.manual_seed(i)
      local conv, norm = layers(cases[i], "relu")
      local x = leaf(convlua.randn(cases[i][3]))
      local function second(f)
        local leaves = { x, conv.filter, norm.scale }
        local first = grad(f(conv, norm, x):square():sum(), leaves, { create_graph = true })
        return grad(first[1]:square():sum() + first[2]:square():sum(), leaves)
      end
      local one, two = second(joined), second(in_turn)
      for j = 1, #two do assert_close(one[j], two[j], 1e-3, ("case %d, gradient %d"):format(i, j)) end
    end
  end)

  it("adds its gradient to that of another use, and gives those that are wanted", function()
    local conv, norm = layers(cases[1], "relu")
    local x = leaf(convlua.randn(cases[1][3]))
    local function gradient(f)
      local z = x * 1
      return grad(f(conv, norm, z, nil):square():sum() + z:square():sum(), { x })[1]
    end
    assert_close(gradient(joined), gradient(in_turn), 1e-5, "gradient of x")
    local y = joined(conv, norm, x)
    assert_close(grad(y:square():sum(), { norm.scale })[1], grad(in_turn(conv, norm, x):square():sum(), { norm.scale })[1],
      1e-5, "gradient of the scale")
    conv, norm = layers(cases[2], "relu")
    local bias = grad(joined(conv, norm, convlua.randn(cases[2][3])):square():sum(), { conv.bias })[1]
    assert.same({ 200 }, bias.shape) -- the mean takes a bias away
    assert.is_true(bias:abs():max():item() < 1e-3)
  end)

  it("knows where it is positive behind a residual, wanted or not, for whole vectors of filters and others", function()
    for _, filters in ipairs { 32, 40, 33 } do
      local conv, norm = layers({ nn.Conv2D, { filter_shape = { 3, 3, 8, filters }, padding = 1 } }, "relu")
      local x = leaf(convlua.randn { 8, 9, 8, 8 })
      for _, wanted in ipairs { true, false } do
        local residual = convlua.randn(conv(x).shape)
        residual.requires_grad = wanted
        local weights = convlua.randn(residual.shape)
        local function gradients(f, ...)
          local y = f(conv, norm, ...) -- its gradient is not 0 where y is
          return grad((y * weights:cast(y.dtype)):sum(), { x, norm.offset, wanted and residual or nil })
        end
        local one = gradients(joined, x, residual)
        conv:to "float64"
        norm:to "float64"
        local two = gradients(in_turn, x:cast "float64", residual:cast "float64")
        for j = 1, #two do assert_close(one[j], two[j], 1e-5, ("%d filters, gradient %d"):format(filters, j)) end
        conv:to "float32"
        norm:to "float32"
      end
    end
  end)

  it("follows the batch's statistics without a gradient, too", function()
    local conv, norm = layers(cases[1], "relu")
    local x = convlua.randn(cases[1][3])
    convlua.no_grad(joined, conv, norm, x)
    local mean = norm.running_mean:clone()
    convlua.no_grad(function() norm.running_mean:fill_(0) norm.running_var:fill_(1) in_turn(conv, norm, x) end)
    assert_close(mean, norm.running_mean, 1e-5, "running mean")
  end)

  it("says what does not fit", function()
    local conv, norm = layers({ nn.Conv2D, { filter_shape = { 3, 3, 3, 8 } } }, "relu")
    local x = convlua.randn { 4, 6, 6, 3 }
    local function fails(message, ...)
      local ok, text = pcall(joined, ...)
      assert.is_false(ok)
      assert(text:find(message, 1, true), text)
    end
    fails("Conv2D: expected residual {4, 4, 4, 8} as x, got {4, 4, 4, 1}", conv, norm, x, convlua.randn { 4, 4, 4, 1 })
    fails("Conv2D: expected residual of float32, the type of x, got float64", conv, norm, x,
      convlua.randn { 4, 4, 4, 8 }:cast "float64")
    fails("Conv2D: an empty batch {0, 4, 4, 8} has no mean", conv, norm, convlua.randn { 0, 6, 6, 3 })
    fails("the filter is larger than the padded input", conv, norm, convlua.randn { 4, 2, 2, 3 })
    fails("expected x with 4 axes and 3 channels in the last, got {4, 6, 6, 2}", conv, norm, convlua.randn { 4, 6, 6, 2 })
    fails("7 channels in the last, got {4, 4, 4, 8}", conv, nn.BatchNorm{ feature_count = 7 }, x)
  end)

  it("is two layers where there is no such op: another type, an activation between, statistics that are given", function()
    local conv, norm = layers(cases[1], "relu")
    local x = leaf(convlua.randn(cases[1][3]))
    assert.equal("batch_norm", joined(conv, norm:eval(), x).made_by)
    local between = nn.Conv2D{ filter_shape = { 3, 3, 32, 40 }, activation = "relu" }
    assert.equal("batch_norm", joined(between, norm:train(), x).made_by)
    conv:to "float64"
    norm:to "float64"
    assert.equal("batch_norm", joined(conv, norm, x:cast "float64").made_by)
  end)
end)
