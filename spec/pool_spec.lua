-- Pooling: against the definition in plain Lua, sizes, padding, where gradients go.

local convlua = require "convlua"
local grad = require("convlua.core").autograd.grad

local function flat(x) return x:detach():reshape(-1):to_table() end

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

local function row(...)
  local values = { ... }
  return convlua.tensor(values):reshape { 1, #values, 1 }
end

-- Pooling of x {H, W} as nested tables, stride and filter per axis, zero-based window starts.
local function plain(X, kind, f, s, before, out, count_padding, after)
  local H, W, Y = #X, #X[1], {}
  for p = 1, out[1] do
    Y[p] = {}
    for q = 1, out[2] do
      local top, left = (p - 1) * s[1] - before[1], (q - 1) * s[2] - before[2]
      local sum, most, inside = 0, -math.huge, 0
      for h = math.max(top, 0), math.min(top + f[1], H) - 1 do
        for w = math.max(left, 0), math.min(left + f[2], W) - 1 do
          local v = X[h + 1][w + 1]
          sum, most, inside = sum + v, math.max(most, v), inside + 1
        end
      end
      if count_padding then
        inside = (math.min(top + f[1], H + after[1]) - top) *
          (math.min(left + f[2], W + after[2]) - left)
      end
      Y[p][q] = kind == "max" and most or sum / inside
    end
  end
  return Y
end

describe("pooling", function()
  before_each(function() convlua.manual_seed(21) end)

  local function check(options, f, s, before, after, out)
    local x = convlua.randn({ 1, 7, 9, 1 }):cast "float64"
    local X = x:reshape { 7, 9 }:to_table()
    local y = convlua.max_pool2d(x, options)
    assert.same({ 1, out[1], out[2], 1 }, y.shape)
    assert.same(plain(X, "max", f, s, before, out), y:reshape(out):to_table())
    for _, count in ipairs { false, true } do
      local own = { count_padding = count }
      for key, value in pairs(options) do own[key] = value end
      y = convlua.avg_pool2d(x, own)
      assert.close(plain(X, "avg", f, s, before, out, count, after), y:reshape(out), 1e-12)
    end
  end

  it("takes the largest and the mean of each window", function()
    check({ pool_size = { 2, 3 } }, { 2, 3 }, { 2, 3 }, { 0, 0 }, { 0, 0 }, { 3, 3 })
    check({ pool_size = 3, strides = { 1, 2 } }, { 3, 3 }, { 1, 2 }, { 0, 0 }, { 0, 0 }, { 5, 4 })
  end)

  it("pads", function()
    check({ pool_size = 3, strides = 2, padding = 1 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 },
      { 4, 5 })
    check({ pool_size = { 3, 2 }, strides = 2, padding = "same" }, { 3, 2 }, { 2, 2 }, { 1, 0 },
      { 1, 1 }, { 4, 5 })
  end)

  it("lets the last window hang over the end with ceil_mode", function()
    check({ pool_size = 2, strides = 2, ceil_mode = true }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 0, 0 },
      { 4, 5 })
  end)

  it("drops a window of ceil_mode that would start behind the input", function()
    local y = convlua.max_pool1d(row(1, 2, 3), { pool_size = 1, strides = 3, ceil_mode = true })
    assert.same({ 1 }, flat(y))
  end)

  it("\"same\" of 3 with stride 2 pads 0 and 1", function()
    assert.same({ 3, 5, 6, 6 }, flat(convlua.max_pool1d(row(1, 2, 3, 4, 5, 6, 6, 0),
      { pool_size = 3, strides = 2, padding = "same" })))
  end)

  it("of several channels agrees with the same channels one by one", function()
    local options = { pool_size = 3, strides = 2, padding = "same" }
    for _, count in ipairs { 2, 6, 8, 29, 150 } do
      local x = leaf(convlua.randn { 2, 5, 6, count })
      for _, name in ipairs { "max_pool2d", "avg_pool2d", "global_max_pool", "global_avg_pool" } do
        local function pool(v)
          return name:find "global" and convlua[name](v) or convlua[name](v, options)
        end
        local all = pool(x)
        local weights = convlua.randn(all.shape)
        local g = grad((all * weights):sum(), x)
        for c = 1, count, count > 30 and 13 or 1 do
          local one = leaf(x:slice(4, c, c):contiguous())
          local y = pool(one)
          assert.close(y, all:slice(-1, c, c), 1e-6)
          assert.close(grad((y * weights:slice(-1, c, c)):sum(), one), g:slice(4, c, c), 1e-6)
        end
      end
    end
  end)
end)

describe("max_pool", function()
  it("sends the gradient to the first of equal maxima", function()
    local x = leaf(row(2, 2, 1, 5, 5, 5))
    local g = grad(convlua.max_pool1d(x, { pool_size = 3 }):sum(), { x })[1]
    assert.same({ 1, 0, 0, 1, 0, 0 }, flat(g))
  end)

  it("adds the gradients of windows that overlap", function()
    local x = leaf(row(1, 9, 2, 3))
    local g = grad(convlua.max_pool1d(x, { pool_size = 2, strides = 1 }):sum(), { x })[1]
    assert.same({ 0, 2, 0, 1 }, flat(g))
  end)

  it("never takes the padding, even from negative numbers", function()
    assert.same({ -3, -1 }, flat(convlua.max_pool1d(row(-3, -2, -1),
      { pool_size = 2, strides = 2, padding = { { 1, 0 } } })))
  end)

  it("lets NaN win", function()
    local y = flat(convlua.max_pool1d(row(1, 0 / 0, 3, 4)))
    assert.truthy(y[1] ~= y[1])
    assert.equal(4, y[2])
  end)

  it("gives the same with and without a gradient to come, which alone keeps places", function()
    for channels = 1, 19, 3 do
      local x = convlua.randn { 2, 9, 7, channels }
      x[1][1][1] = 0 / 0
      local options, before, took = { pool_size = 3, strides = 2, padding = 1 }, convlua.memory.live(), {}
      local results = {}
      for i, recorded in ipairs { false, true } do
        x.requires_grad = recorded
        results[i] = convlua.max_pool2d(x, options)
        took[i], before = convlua.memory.live() - before, convlua.memory.live()
      end
      assert.same(results[1]:to_bytes(), results[2]:detach():to_bytes())
      assert(took[2] - took[1] >= 4 * results[1]:numel(), ("%d, %d"):format(took[1], took[2]))
    end
  end)
end)

describe("global pooling", function()
  it("is over all spatial axes", function()
    local x = convlua.arange(0, 23):reshape { 2, 2, 3, 2 }:cast "float32"
    local first = flat(x)[1]
    assert.close({ { first + 5, first + 6 }, { first + 17, first + 18 } },
      convlua.global_avg_pool(x))
    assert.close({ { first + 10, first + 11 }, { first + 22, first + 23 } },
      convlua.global_max_pool(x))
  end)
end)

describe("upsample", function()
  it("repeats, or goes linearly between the centres of pixels", function()
    assert.same({ 1, 1, 1, 3, 3, 3 }, flat(convlua.upsample(row(1, 3), { size = 3 })))
    -- PyTorch, interpolate(mode = "linear", align_corners = false)
    assert.close({ 1, 1.5, 2.5, 3 }, flat(convlua.upsample(row(1, 3), { mode = "bilinear" })))
    assert.close({ 0, 0, 2 / 3, 4 / 3, 2, 2 },
      flat(convlua.upsample(row(0, 2), { size = 3, mode = "bilinear" })))
  end)
end)

describe("dropout", function()
  before_each(function() convlua.manual_seed(1) end)

  it("keeps 1 - rate of the elements and their mean", function()
    local y = flat(convlua.dropout(convlua.ones { 100000 }, { rate = 0.25 }))
    local kept = 0
    for _, v in ipairs(y) do
      if v ~= 0 then
        kept = kept + 1
        assert.close(4 / 3, v)
      end
    end
    assert.close(0.75, kept / #y, 0.01)
  end)

  it("drops the same elements in backward, and others in the next call", function()
    local x = leaf(convlua.ones { 1000 })
    local y = convlua.dropout(x)
    assert.same(flat(y), flat(grad(y:sum(), { x })[1]))
    assert.not_same(flat(y), flat(convlua.dropout(x)))
  end)

  it("does nothing outside of training", function()
    local x = convlua.randn { 10 }
    assert.same(flat(x), flat(convlua.dropout(x, { rate = 0.9, training = false })))
  end)
end)
