-- Run by engine_spec.lua under one setting of CONVLUA_CONV and CONVLUA_ISA. Prints, for a list of
-- convolutions, the largest relative error (L2) of the float32 result and gradients against the
-- float64 ones, and whether 1, 2 and 5 threads gave the same bits.

local convlua = require "convlua"
local core = require "convlua.core"

local cases = { -- N, H, W, C, filter, K, options
  { 3, 9, 10, 5, { 3, 3 }, 7, { padding = 1 } },
  { 2, 13, 7, 24, { 3, 3 }, 40, { padding = "same" } },
  { 1, 6, 5, 66, { 3, 3 }, 70, { padding = { { 2, 0 }, { 0, 1 } } } },
  { 33, 4, 4, 20, { 3, 3 }, 20, { padding = 1 } },
  { 2, 4, 4, 130, { 3, 3 }, 200, { padding = 1 } },
  { 2, 12, 11, 18, { 3, 3 }, 33, { padding = "same", strides = 2 } },
  { 3, 9, 8, 10, { 3, 3 }, 5, { padding = 1, strides = 2 } },
  { 2, 15, 16, 3, { 7, 7 }, 20, { padding = "same", strides = 2 } },
  { 40, 2, 2, 30, { 3, 3 }, 18, { padding = 1 } },
  { 2, 9, 8, 12, { 2, 3 }, 8, { groups = 4, dilations = { 2, 1 } } },
  { 2, 10, 9, 19, { 3, 3 }, 19, { groups = 19, padding = "same", strides = 2 } },
  { 5, 6, 7, 16, { 1, 1 }, 9, {} },
  { 80, 12, 11, 6, { 3, 3 }, 9, { padding = 1 } }, -- tiles for several parts of the filter's gradient
  { 49, 32, 32, 4, { 3, 3 }, 64, { padding = "same" } }, -- a result that is written past the caches
}

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

local function passes(x, w, b, options, weights)
  x, w = leaf(x), leaf(w)
  local y = convlua.conv2d(x, w, b, options)
  local gx, gw = table.unpack(core.autograd.grad((y * weights):sum(), { x, w }))
  return { y:detach(), gx, gw }
end

local function norm(x) return (x * x):sum():item() ^ 0.5 end

convlua.manual_seed(3)
for i, case in ipairs(cases) do
  local n, h, width, c, filter, k, options = table.unpack(case)
  local x = convlua.randn { n, h, width, c }
  local w = convlua.randn { filter[1], filter[2], c // (options.groups or 1), k }
  local b = convlua.randn { k }
  local weights = convlua.randn(convlua.conv2d(x, w, b, options).shape)
  local exact = passes(x:cast "float64", w:cast "float64", b:cast "float64", options,
    weights:cast "float64")
  local first
  local same, worst = true, 0
  for _, threads in ipairs { 1, 2, 5 } do
    core.threads(threads)
    local got = passes(x, w, b, options, weights)
    first = first or got
    for j = 1, 3 do
      same = same and norm(got[j] - first[j]) == 0
      worst = math.max(worst, norm(got[j]:cast "float64" - exact[j]) / norm(exact[j]))
    end
  end
  print(i, ("%.3g"):format(worst), same)
end
