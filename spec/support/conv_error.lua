-- Run by engine_spec.lua under one setting of CONVLUA_CONV and CONVLUA_ISA. Prints, for a list of
-- convolutions, the largest relative error (L2) of the float32 result and gradients against the
-- float64 ones, and whether 1, 2 and 5 threads gave the same bits.

local convlua = require "convlua"
local core = require "convlua.core"

local cases = { -- N, sizes, C, filter, K, options
  { 3, { 9, 10 }, 5, { 3, 3 }, 7, { padding = 1 } },
  { 2, { 13, 7 }, 24, { 3, 3 }, 40, { padding = "same" } },
  { 1, { 6, 5 }, 66, { 3, 3 }, 70, { padding = { { 2, 0 }, { 0, 1 } } } },
  { 33, { 4, 4 }, 20, { 3, 3 }, 20, { padding = 1 } },
  { 2, { 4, 4 }, 130, { 3, 3 }, 200, { padding = 1 } },
  { 2, { 12, 11 }, 18, { 3, 3 }, 33, { padding = "same", strides = 2 } },
  { 3, { 9, 8 }, 10, { 3, 3 }, 5, { padding = 1, strides = 2 } },
  { 2, { 15, 16 }, 3, { 7, 7 }, 20, { padding = "same", strides = 2 } },
  -- maps of 2 x 2: many, and few for many filters; one that its padding does not surround
  { 40, { 2, 2 }, 30, { 3, 3 }, 18, { padding = 1 } },
  { 70, { 2, 2 }, 130, { 3, 3 }, 150, { padding = "same" } },
  { 9, { 2, 2 }, 20, { 3, 3 }, 20, { padding = { { 2, 0 }, { 1, 1 } } } },
  -- maps of which a position meets one tap of several
  { 70, { 1, 1 }, 33, { 3, 3 }, 64, { padding = 1 } },
  { 70, { 2, 2 }, 64, { 3, 3 }, 64, { padding = "same", strides = 2 } },
  { 2, { 9, 8 }, 12, { 2, 3 }, 8, { groups = 4, dilations = { 2, 1 } } },
  { 2, { 10, 9 }, 19, { 3, 3 }, 19, { groups = 19, padding = "same", strides = 2 } },
  -- groups of 2, 4, 8 and 16 channels with as many filters, in whole vectors and with some left over
  { 2, { 10, 9 }, 38, { 3, 3 }, 38, { groups = 19, padding = 1 } },
  { 3, { 13, 8 }, 44, { 3, 2 }, 44, { groups = 11, padding = "same", strides = 2 } },
  { 2, { 9, 12 }, 72, { 3, 3 }, 72, { groups = 9, dilations = { 2, 1 }, padding = { { 3, 0 }, { 0, 2 } } } },
  { 3, { 9, 10 }, 48, { 3, 3 }, 48, { groups = 3, padding = 1 } },
  { 4, { 50 }, 32, { 5 }, 32, { groups = 4, padding = 2 } },
  { 2, { 3, 4, 6 }, 16, { 2, 3, 3 }, 16, { groups = 4, padding = "same", strides = { 1, 2, 1 } } },
  -- groups with other numbers of filters: of one vector, several, part of one; taken from one vector, two, more
  { 2, { 9, 11 }, 24, { 3, 3 }, 160, { groups = 4, padding = 1 } },
  { 2, { 9, 15 }, 20, { 3, 3 }, 40, { groups = 20, padding = "same", strides = 2 } },
  { 2, { 8, 16 }, 64, { 3, 3 }, 32, { groups = 8, padding = { { 0, 2 }, { 1, 0 } } } },
  { 3, { 7, 9 }, 99, { 3, 2 }, 33, { groups = 33, padding = 1 } },
  { 2, { 12, 7 }, 128, { 1, 1 }, 64, { groups = 16 } },
  { 2, { 6, 14 }, 96, { 2, 3 }, 96, { groups = 3, strides = { 1, 2 } } },
  -- ... lines longer than what is listed together, with more taps; further apart; more lines than are read at once
  { 2, { 130 }, 24, { 14 }, 24, { groups = 12, padding = 6 } },
  { 3, { 90 }, 12, { 5 }, 36, { groups = 4, strides = 3, dilations = 2 } },
  { 1, { 6, 6, 9 }, 8, { 5, 5, 3 }, 8, { groups = 4, padding = 2 } },
  -- ... pixels that compete for sets of the cache; all padding
  { 2, { 5, 14 }, 512, { 3, 3 }, 512, { groups = 512, padding = 1 } },
  { 2, { 3, 4 }, 6, { 2, 2 }, 12, { groups = 3, padding = 4, strides = 3 } },
  { 5, { 6, 7 }, 16, { 1, 1 }, 9, {} },
  { 19, { 12, 9 }, 3, { 5, 5 }, 6, {} },
  { 33, { 7, 11 }, 6, { 3, 2 }, 16, { dilations = { 1, 2 }, padding = { { 0, 3 }, { 2, 0 } } } },
  { 18, { 6, 5 }, 4, { 2, 2 }, 3, { padding = 2 } },
  { 32, { 9, 8 }, 3, { 7, 7 }, 21, { padding = 3, strides = 2 } },
  { 16, { 4, 5, 6 }, 2, { 2, 3, 2 }, 5, { strides = { 1, 2, 1 }, padding = "same" } },
  { 20, { 33 }, 3, { 7 }, 17, { padding = 2 } },
  -- 4 x 4: tiles that stick out, few for many filters, parts of the filter's gradient
  { 3, { 9, 10 }, 5, { 4, 4 }, 7, { padding = 1 } },
  { 2, { 13, 7 }, 24, { 4, 4 }, 40, { padding = "same" } },
  { 40, { 4, 4 }, 70, { 4, 4 }, 200, { padding = { { 3, 1 }, { 0, 2 } } } },
  { 40, { 23, 20 }, 12, { 4, 4 }, 33, { padding = "same" } },
  -- cells of strides that 3 x 3 and 4 x 4 filters take
  { 90, { 16, 18 }, 3, { 7, 7 }, 64, { padding = "same", strides = 2 } },
  { 3, { 17, 14 }, 20, { 5, 6 }, 24, { padding = 3, strides = 2 } },
  { 2, { 31, 27 }, 3, { 11, 11 }, 40, { padding = 2, strides = 4 } },
  -- tiles for several parts of the filter's gradient
  { 80, { 12, 11 }, 6, { 3, 3 }, 9, { padding = 1 } },
  -- tiles that are fewer from the end of one axis, of both
  { 2, { 24, 13 }, 18, { 3, 3 }, 33, { padding = 1, strides = 2 } },
  { 3, { 8, 16 }, 10, { 3, 3 }, 20, { padding = 1, strides = 2 } },
  -- tiles that stick out: all of them, some in each of several blocks, along one axis
  { 70, { 3, 3 }, 20, { 3, 3 }, 40, { padding = 1 } },
  { 40, { 7, 6 }, 70, { 3, 3 }, 80, { padding = 1 } },
  { 40, { 6, 8 }, 10, { 3, 3 }, 9, { padding = 1 } },
  { 90, { 7 }, 20, { 3 }, 33, { padding = 1 } },
  -- padding wider than a tile, and none
  { 3, { 11, 9 }, 10, { 3, 3 }, 12, { padding = { { 10, 0 }, { 0, 9 } }, strides = 2 } },
  { 2, { 7, 9 }, 256, { 3, 3 }, 64, { padding = { { 2, 1 }, { 1, 0 } }, strides = 2 } },
  -- few tiles for many filters, in several blocks and chunks of channels
  { 8, { 16, 16 }, 66, { 3, 3 }, 116, { padding = 1 } },
  { 14, { 15, 16 }, 66, { 3, 3 }, 116, { padding = "same", strides = 2 } },
  -- tiles of 64 columns: with columns, rows and tiles left over, sums in several stretches
  { 5, { 17, 15 }, 70, { 3, 3 }, 124, { padding = 1 } },
  { 6, { 18, 15 }, 300, { 3, 3 }, 64, { padding = "same", strides = 2 } },
  { 3, { 9, 11 }, 130, { 2, 2 }, 120, { dilations = 2 } },
  { 2, { 13, 9 }, 70, { 1, 1 }, 64, {} },
  -- three taps along one axis: many tiles, few for many filters, parts of the filter's gradient; rows, columns
  { 9, { 301 }, 24, { 3 }, 72, { padding = "same" } },
  { 2, { 41 }, 130, { 3 }, 200, { padding = { { 2, 0 } } } },
  { 20, { 615 }, 6, { 3 }, 9, { padding = 1 } },
  { 5, { 9, 14 }, 20, { 3, 1 }, 33, { padding = { { 1, 1 }, { 0, 0 } } } },
  { 4, { 11, 19 }, 66, { 1, 3 }, 70, { padding = { { 0, 0 }, { 0, 2 } } } },
  -- filters that fill vectors, few channels
  { 3, { 11, 9 }, 3, { 7, 7 }, 64, { padding = "same", strides = 2 } },
  { 2, { 5, 6, 7 }, 2, { 2, 3, 2 }, 32, { strides = { 1, 2, 1 }, padding = "same" } },
  { 5, { 9, 13 }, 6, { 5, 5 }, 16, { dilations = { 2, 1 }, padding = { { 5, 0 }, { 1, 9 } } } },
  { 1, { 70, 150 }, 4, { 3, 2 }, 48, { strides = { 1, 3 } } },
  { 3, { 12, 13 }, 3, { 2, 2 }, 24, {} },
  -- few filters, whose lines the data's gradient takes
  { 9, { 120 }, 32, { 3 }, 16, { padding = { { 2, 0 } } } },
  { 2, { 9, 13 }, 64, { 3, 2 }, 5, { dilations = { 2, 1 }, padding = { { 1, 3 }, { 0, 1 } } } },
  -- 1 to 8 filters of many channels, and as many channels of many filters
  { 2, { 9, 21 }, 40, { 3, 3 }, 1, { padding = 1 } },
  { 3, { 10, 19 }, 33, { 3, 2 }, 2, { padding = "same", strides = 2 } },
  { 1, { 12, 26 }, 16, { 5, 5 }, 3, { padding = { { 4, 0 }, { 1, 3 } } } },
  { 2, { 9, 14 }, 70, { 2, 3 }, 4, { dilations = 2 } },
  { 2, { 7, 13 }, 48, { 3, 3 }, 6, { padding = 2, dilations = { 1, 2 } } },
  { 2, { 41 }, 64, { 5 }, 7, { strides = 3, padding = 2 } },
  { 1, { 3, 4, 9 }, 32, { 3, 3, 3 }, 8, { padding = "same" } },
  { 2, { 9, 17 }, 1, { 3, 3 }, 70, { padding = 1 } },
  { 3, { 13, 11 }, 2, { 4, 5 }, 33, { padding = "same", strides = { 1, 2 } } },
  { 1, { 10, 12 }, 4, { 3, 3 }, 64, { padding = 1, dilations = 2 } },
  -- rows that are read as they lie, in several blocks
  { 7, { 9, 8 }, 300, { 1, 1 }, 96, {} },
  { 5, { 12, 11 }, 64, { 1, 1 }, 160, {} },
  { 3, { 14, 13 }, 64, { 1, 1 }, 64, { groups = 2, strides = 2 } },
  -- filter gradients in stretches: several blocks of them; positions that would share a set of the cache; by 3
  { 12, { 11, 12 }, 64, { 1, 1 }, 64, { strides = 2 } },
  { 2, { 8, 9 }, 512, { 1, 1 }, 32, { strides = 2, padding = { { 1, 0 }, { 0, 1 } } } },
  { 7, { 29, 26 }, 40, { 1, 1 }, 64, { strides = 3 } },
  -- ... in several groups of columns
  { 3, { 11, 10 }, 70, { 1, 1 }, 384, {} },
  { 6, { 14, 13 }, 512, { 1, 1 }, 320, { strides = 2 } },
  -- the phases of strides in one product: padding beyond the filter, fewer inputs than a stride, one axis and three
  { 2, { 10, 7 }, 3, { 5, 3 }, 17, { strides = { 2, 3 }, padding = { { 1, 2 }, { 4, 0 } } } },
  { 3, { 2, 9 }, 2, { 2, 1 }, 16, { strides = { 3, 2 }, padding = { { 1, 0 }, { 0, 3 } } } },
  { 4, { 31 }, 5, { 7 }, 20, { strides = 4, padding = "same" } },
  { 2, { 5, 8, 6 }, 3, { 3, 4, 3 }, 24, { strides = { 2, 2, 1 }, padding = 1 } },
  -- results that are written past the caches
  { 12, { 64, 64 }, 32, { 1, 1 }, 64, {} },
  { 25, { 32, 32 }, 2, { 3, 3 }, 128, { padding = "same" } },
  { 16, { 64, 64 }, 24, { 1, 1 }, 48, {} },
}

--- Numbers and lists of them, in one list.
local function list(...)
  local all = {}
  for _, part in ipairs { ... } do
    if math.type(part) then part = { part } end
    table.move(part, 1, #part, #all + 1, all)
  end
  return all
end

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

local function convolve(x, ...)
  return convlua[("conv%dd"):format(#x.shape - 2)](x, ...)
end

local function passes(x, w, b, options, weights)
  x, w = leaf(x), leaf(w)
  local y = convolve(x, w, b, options)
  local gx, gw = table.unpack(core.autograd.grad((y * weights):sum(), { x, w }))
  return { y:detach(), gx, gw }
end

local function norm(x) return (x * x):sum():item() ^ 0.5 end

convlua.manual_seed(3)
for i, case in ipairs(cases) do
  local n, size, c, filter, k, options = table.unpack(case)
  local x = convlua.randn(list(n, size, c))
  local w = convlua.randn(list(filter, c // (options.groups or 1), k))
  local b = convlua.randn { k }
  local weights = convlua.randn(convolve(x, w, b, options).shape)
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
