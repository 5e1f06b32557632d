-- batch_norm: against a plain computation in Lua, its running statistics, its accuracy.

local convlua = require "convlua"
local core = require "convlua.core"
local grad = core.autograd.grad

local rows, channels = 40, 3
local x, scale, offset, residual

local function leaf(t)
  t = t:detach():clone()
  t.requires_grad = true
  return t
end

local function random(...) return convlua.randn({ ... }):cast "float64" end

-- Mean and biased variance of each column.
local function statistics(X)
  local mean, var = {}, {}
  for c = 1, #X[1] do
    local sum, squares = 0, 0
    for r = 1, #X do sum = sum + X[r][c] end
    mean[c] = sum / #X
    for r = 1, #X do squares = squares + (X[r][c] - mean[c]) ^ 2 end
    var[c] = squares / #X
  end
  return mean, var
end

local function plain(X, mean, var, o)
  local S, O, R, Y = scale:to_table(), offset:to_table(), o.residual, {}
  for r = 1, #X do
    Y[r] = {}
    for c = 1, #X[1] do
      local y = (X[r][c] - mean[c]) / math.sqrt(var[c] + o.epsilon) * S[c] + O[c]
      if R then y = y + R[r][c] end
      Y[r][c] = o.relu and math.max(y, 0) or y
    end
  end
  return Y
end

local function running() return random(channels), random(channels) * 0 + 2 end

describe("batch_norm", function()
  before_each(function()
    convlua.manual_seed(9)
    x, residual = random(rows, channels) * 3 + 1, random(rows, channels)
    scale, offset = random(channels), random(channels)
  end)

  for _, relu in ipairs { false, true } do
    for _, add in ipairs { false, true } do
      local options = { training = true, epsilon = 1e-5,
        activation = relu and "relu" or "identity" }
      local title = (relu and "with relu" or "plain") .. (add and " and a residual" or "")

      it("normalises by the batch in training, " .. title, function()
        local mean, var = running()
        local y = convlua.batch_norm(x, scale, offset, mean, var, add and residual or nil, options)
        local m, v = statistics(x:to_table())
        local expected = plain(x:to_table(), m, v, { epsilon = 1e-5, relu = relu,
          residual = add and residual:to_table() })
        assert.close(expected, y, 1e-12)
      end)

      it("has the gradients of the same thing written with ops, " .. title, function()
        local inputs = { leaf(x), leaf(scale), leaf(offset), add and leaf(residual) or nil }
        local weights = random(rows, channels)
        local function gradients(f)
          return grad((f(table.unpack(inputs)) * weights):sum(), inputs)
        end
        local fused = gradients(function(a, s, o, r)
          local mean, var = running()
          return convlua.batch_norm(a, s, o, mean, var, r, options)
        end)
        local written = gradients(function(a, s, o, r)
          local centred = a - a:mean(1, true)
          local y = centred / ((centred * centred):mean(1, true) + 1e-5):sqrt() * s + o
          if r then y = y + r end
          return relu and y:relu() or y
        end)
        for i = 1, #inputs do assert.close(written[i], fused[i], 1e-10) end
      end)
    end
  end

  -- Around the vectors of every instruction set; the last is large enough to be written past the caches.
  for _, shape in ipairs { { 50, 1 }, { 70, 7 }, { 33, 16 }, { 21, 31 }, { 300, 70 }, { 130, 164 }, { 25000, 128 } } do
    it(("computes %d rows of %d channels in float32 as in float64"):format(shape[1], shape[2]), function()
      local C = shape[2]
      local inputs = { convlua.randn(shape) * 2 + 3, convlua.randn { C }, convlua.randn { C }, convlua.randn(shape) }
      local weights = convlua.randn(shape)
      local function compute(dtype, residual, relu)
        local t = {}
        for i = 1, residual and 4 or 3 do t[i] = leaf(inputs[i]:cast(dtype)) end
        local mean, var = convlua.zeros({ C }):cast(dtype), convlua.ones({ C }):cast(dtype)
        local y = convlua.batch_norm(t[1], t[2], t[3], mean, var, t[4],
          { training = true, activation = relu and "relu" or "identity" })
        local results = grad((y * weights:cast(dtype)):sum(), t)
        table.insert(results, y)
        table.insert(results, mean)
        table.insert(results, var)
        return results
      end
      for _, residual in ipairs { false, true } do
        for _, relu in ipairs { false, true } do
          local exact, single = compute("float64", residual, relu), compute("float32", residual, relu)
          for i, e in ipairs(exact) do
            local apart, size = (single[i]:cast "float64" - e):square():sum():item(), e:square():sum():item()
            assert(apart <= 1e-9 * (size + 1e-3), ("result %d: %g of %g"):format(i, apart, size))
          end
        end
      end
    end)
  end

  it("has the same gradients when the residual wants none", function()
    local weights = random(rows, channels)
    local function gradients(r)
      local inputs = { leaf(x), leaf(scale), leaf(offset) }
      local mean, var = running()
      local y = convlua.batch_norm(inputs[1], inputs[2], inputs[3], mean, var, r,
        { training = true, activation = "relu" })
      return grad((y * weights):sum(), inputs)
    end
    local wanted, other = gradients(leaf(residual)), gradients(residual)
    for i = 1, 3 do assert.close(wanted[i], other[i], 1e-12) end
  end)

  it("follows the batch with running = momentum*running + (1 - momentum)*batch, biased", function()
    local mean, var = running()
    local former = mean:to_table()
    convlua.batch_norm(x, scale, offset, mean, var, nil, { training = true, momentum = 0.9 })
    local m, v = statistics(x:to_table())
    for c = 1, channels do
      m[c], v[c] = 0.9 * former[c] + 0.1 * m[c], 0.9 * 2 + 0.1 * v[c]
    end
    assert.close(m, mean, 1e-12)
    assert.close(v, var, 1e-12)
  end)

  it("uses the running statistics outside of training and leaves them alone", function()
    local mean, var = running()
    local m, v = mean:to_table(), var:to_table()
    local y = convlua.batch_norm(x, scale, offset, mean, var, nil, { epsilon = 1e-3 })
    assert.close(plain(x:to_table(), m, v, { epsilon = 1e-3 }), y, 1e-12)
    assert.same(m, mean:to_table())
    assert.same(v, var:to_table())
  end)

  it("loses no digits to a large mean", function()
    local values = random(4096, 2)
    local large = (values + 10000):cast "float32"
    local exact = large:cast "float64"
    local function norm(t)
      local one, none = convlua.ones({ 2 }):cast(t.dtype), convlua.zeros({ 2 }):cast(t.dtype)
      return convlua.batch_norm(t, one, none, none:clone(), one:clone(), nil,
        { training = true, epsilon = 0 })
    end
    assert.close(norm(exact), norm(large):cast "float64", 2e-3)
    local _, v = statistics(exact:to_table())
    local mean, var = convlua.zeros { 2 }, convlua.zeros { 2 }
    local one = convlua.ones { 2 }
    convlua.batch_norm(large, one, one, mean, var, nil, { training = true, momentum = 0 })
    assert.close(v, var, 1e-5)
  end)

  it("takes any number of axes, the last being the channels", function()
    local function norm(t)
      local mean, var = running()
      return convlua.batch_norm(t, scale, offset, mean, var, nil, { training = true })
    end
    local flat = norm(x):to_table()
    assert.same(flat, norm(x:reshape { 2, 4, 5, channels }):reshape { rows, channels }:to_table())
  end)

  it("gives the same bits for any number of threads", function()
    local before, bytes = core.threads(), {}
    local wide, g = convlua.randn { 4, 20, 20, 64 }, convlua.ones { 64 }
    for i, n in ipairs { 1, 2, 4 } do
      core.threads(n)
      local a, mean, var = leaf(wide), convlua.zeros { 64 }, convlua.ones { 64 }
      local y = convlua.batch_norm(a, g, g, mean, var, nil, { training = true })
      bytes[i] = y:to_bytes() .. grad((y * y * y):sum(), { a })[1]:to_bytes() .. mean:to_bytes()
    end
    core.threads(before)
    assert.equal(bytes[1], bytes[2])
    assert.equal(bytes[1], bytes[3])
  end)
end)
