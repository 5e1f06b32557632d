-- Run by engine_spec.lua under one setting of CONVLUA_ISA. Prints, for convolutions with a ReLU and a
-- pooling behind them, the largest relative error (L2) of the float32 result in one pass and of its
-- gradients, first and second, against the float64 layers one after the other, and whether 1, 2 and 5
-- threads gave the same bits.

local convlua = require "convlua"
local core = require "convlua.core"
local nn = convlua.nn

local cases = { -- the convolution, the window or nil, x; sizes that leave something over, too
  { { filter_shape = { 5, 5, 3, 6 } }, 2, { 32, 13, 12, 3 } },
  { { filter_shape = { 5, 5, 6, 16 } }, { 2, 3 }, { 29, 14, 14, 6 } },
  { { filter_shape = { 3, 3, 3, 7 }, padding = "same" }, 3, { 33, 11, 10, 3 } },
  { { filter_shape = { 3, 2, 2, 20 }, padding = 1, dilations = { 1, 2 } }, { 3, 1 }, { 64, 9, 9, 2 } },
  { { filter_shape = { 3, 3, 1, 9 } }, nil, { 16, 9, 9, 1 } },
  { { filter_shape = { 2, 2, 4, 17 }, use_bias = false, padding = { { 0, 1 }, { 1, 0 } } }, 4, { 16, 9, 8, 4 } },
  { { filter_shape = { 7, 3, 8 } }, 2, { 17, 40, 3 } },
}

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

-- z, its gradients in x, filter and bias, each number weighted by a whole one, and the gradients of the sum of these
-- gradients' squares.
local function derivatives(f, x, conv)
  local z = f(x)
  local weights = (convlua.arange(1, z:numel()):reshape(z.shape) % 7 - 3):cast(z.dtype)
  local leaves = { x, conv.filter, conv.bias }
  local first = core.autograd.grad((z * weights):sum(), leaves, { retain_graph = true })
  local again = core.autograd.grad((z * weights):sum(), leaves, { create_graph = true })
  local slope = 0
  for _, g in ipairs(again) do slope = slope + g:square():sum() end
  local second = core.autograd.grad(slope, { x, conv.filter })
  return { z, first[1], first[2], first[3] or false, again[1], again[2], second[1], second[2] }
end

local function bytes(results)
  local list = {}
  for i = 1, 8 do list[i] = results[i] and results[i]:to_bytes() or "" end
  return table.concat(list)
end

local function distance(a, b)
  return ((a:cast "float64" - b):square():sum():sqrt() / (b:square():sum():sqrt() + 1e-30)):item()
end

for number, case in ipairs(cases) do
  local axes = #case[3] - 2
  for _, name in ipairs(case[2] and { "Avg", "Max" } or { "none" }) do
    for _, activation in ipairs { "relu", "identity" } do
      convlua.manual_seed(number)
      local given = { activation = activation, bias_initializer = "he_normal" }
      for key, value in pairs(case[1]) do given[key] = value end
      local conv = nn[("Conv%dD"):format(axes)](given)
      local pool = case[2] and nn[("%sPool%dD"):format(name, axes)] { pool_size = case[2] }
      local x = leaf(convlua.randn(case[3]))
      local function joined(v) return pool and nn.conv_pool(conv, pool, v) or conv(v) end
      local function apart(v) return pool and pool(conv(v)) or conv(v) end
      local found, same = nil, true
      for _, threads in ipairs { 1, 2, 5 } do
        convlua.threads(threads)
        local results = derivatives(joined, x, conv)
        same = same and (not found or bytes(found) == bytes(results))
        found = results
      end
      conv:to "float64"
      local exact, worst = derivatives(apart, leaf(x:cast "float64"), conv), 0
      for i = 1, 8 do
        if exact[i] then worst = math.max(worst, distance(found[i], exact[i])) end
      end
      print(("%d %s %s\t%g\t%s"):format(number, name, activation, worst, same))
    end
  end
end
