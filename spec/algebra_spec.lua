-- The tensor algebra against numbers worked out by hand (and NumPy's rules), edge cases included.
-- Gradients are ops_spec's.

local convlua = require "convlua"
local tensor = convlua.tensor

local function int(list, dtype) return tensor(list, { dtype = dtype or "int64" }) end
local function same(expected, x) assert.same(expected, x:to_table()) end
local huge, nan = math.huge, 0 / 0

describe("functions of one tensor", function()
  it("round to even as NumPy", function()
    same({ -2, -0.0, 0, 2, 2 }, tensor({ -1.5, -0.5, 0.5, 1.5, 2.5 }):round())
  end)
  it("floor and ceil towards -inf and inf", function()
    same({ -2, 1 }, tensor({ -1.5, 1.5 }):floor())
    same({ -1, 2 }, tensor({ -1.5, 1.5 }):ceil())
  end)
  it("keep integers integers", function()
    local x = int { -3, 0, 5 }
    local cases = { neg = { 3, 0, -5 }, abs = { 3, 0, 5 }, sign = { -1, 0, 1 }, square = { 9, 0, 25 } }
    for name, expected in pairs(cases) do
      local y = convlua[name](x)
      assert.equal("int64", y.dtype)
      same(expected, y)
    end
  end)
  it("clamp integers with bounds beyond their type", function()
    same({ 0, 255 }, int({ 0, 255 }, "uint8"):clamp { min = -5, max = 1e300 })
    same({ -1, 4 }, int({ -7, 4 }, "int32"):clamp { min = -1 })
  end)
  it("find what is not a number", function()
    local x = tensor { 1, nan, huge, -huge }
    same({ true, false, false, false }, x:is_finite())
    same({ false, true, false, false }, x:is_nan())
  end)
  it("stay accurate in float32 near 0 and far out", function()
    assert.close(convlua.expm1(tensor { 1e-6, -30 }), { 1.0000005e-6, -1 }, 1e-9)
    assert.close(convlua.log1p(tensor { 1e-6, 0 }), { 9.999995e-7, 0 }, 1e-12)
    assert.close(convlua.softplus(tensor { -100, 0, 100 }), { 0, math.log(2), 100 }, 1e-6)
    assert.close(convlua.log_sigmoid(tensor { -100, 0, 100 }), { -100, -math.log(2), 0 }, 1e-6)
    assert.close(convlua.sigmoid(tensor { -200, 0, 200 }), { 0, 0.5, 1 }, 1e-7)
    assert.close(convlua.erf(tensor { -3, -0.5, 0, 0.5, 1, 3 }),
      { -0.99997791, -0.52049988, 0, 0.52049988, 0.84270079, 0.99997791 }, 4e-7)
  end)
  it("hand NaN on, so that a guard finds it", function()
    for _, name in ipairs { "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid",
      "tanh", "softplus", "log_sigmoid", "mish", "softsign", "hard_sigmoid", "hard_swish", "exp",
      "log", "sqrt", "sign", "clamp" } do
      local y = convlua[name](tensor { nan })
      assert.truthy(y:is_nan():item(), name)
    end
  end)
end)

describe("activations", function()
  it("have the values of their papers", function()
    local x = tensor { -4, -1, 0, 1, 4, 7 }
    same({ 0, 0, 0, 1, 4, 7 }, x:relu())
    same({ 0, 0, 0, 1, 4, 6 }, x:relu6())
    assert.close(x:leaky_relu(), { -0.04, -0.01, 0, 1, 4, 7 })
    assert.close(x:elu(), { math.exp(-4) - 1, math.exp(-1) - 1, 0, 1, 4, 7 })
    assert.close(x:selu(), { -1.7258986, -1.1113307, 0, 1.0507010, 4.2028040, 7.3549069 }, 1e-6)
    assert.close(x:gelu(), { -0.00012668, -0.15865525, 0, 0.84134475, 3.99987332, 7 }, 1e-6)
    assert.close(x:gelu { approximate = true }, { -0.00007023, -0.15880801, 0, 0.84119199, 3.99992977, 7 }, 1e-6)
    assert.close(x:silu(), { -0.07194484, -0.26894142, 0, 0.73105858, 3.92805516, 6.99362290 }, 1e-6)
    assert.close(x:mish(), { -0.07259174, -0.30340146, 0, 0.86509839, 3.99741280, 6.99998845 }, 1e-6)
    assert.close(x:hard_sigmoid(), { 0, 1 / 3, 0.5, 2 / 3, 1, 1 })
    assert.close(x:hard_swish(), { 0, -1 / 3, 0, 2 / 3, 4, 7 })
    assert.close(x:softsign(), { -0.8, -0.5, 0, 0.5, 0.8, 0.875 })
  end)
end)

describe("comparisons", function()
  it("give bool, with broadcasting and numbers", function()
    local x = tensor { { 1, 2 }, { 3, 4 } }
    same({ { false, false }, { true, true } }, convlua.gt(x, 2))
    same({ { true, false }, { false, false } }, convlua.eq(x, tensor { { 1 }, { 9 } }))
    assert.equal("bool", convlua.ge(x, x).dtype)
  end)
  it("are methods: the operators of Lua, which can give but one truth, refuse tensors", function()
    local x = tensor { 1, 2 }
    for _, compare in ipairs {
      function() return x < x end, function() return x <= x end, function() return x > 1 end, function() return 1 >= x end,
    } do
      assert.raises_like(compare, "<, <=, > and >= do not compare tensors: write x:lt(y),")
    end
    assert.is_true(x == x)
  end)

  it("are false with NaN, but for ne", function()
    local x = tensor { nan }
    for _, name in ipairs { "eq", "lt", "le", "gt", "ge" } do same({ false }, convlua[name](x, x)) end
    same({ true }, convlua.ne(x, x))
  end)
  it("compare integers beyond 2^53 exactly", function()
    same({ true }, convlua.lt(int { 9007199254740992 }, int { 9007199254740993 }))
  end)
end)

describe("where", function()
  it("takes a where true and b elsewhere, all broadcast", function()
    local c = tensor { { true }, { false } }
    same({ { 1, 2 }, { 9, 9 } }, convlua.where(c, tensor { 1, 2 }, 9))
  end)
  it("brings its branches to one type and leaves the condition alone", function()
    local y = convlua.where(tensor { 0.5, 0 }, int { 1, 2 }, 0.25)
    assert.equal("float32", y.dtype)
    same({ 1, 0.25 }, y)
    assert.equal("int64", convlua.where(tensor { true }, int { 1 }, int { 2 }).dtype)
  end)
  it("fills under a mask", function()
    same({ -1, 2, -1 }, tensor({ 1, 2, 3 }):masked_fill(tensor { true, false, true }, -1))
  end)
end)

describe("sum", function()
  local x = tensor { { { 1, 2 }, { 3, 4 } }, { { 5, 6 }, { 7, 8 } } }
  it("adds over all, one or several axes", function()
    assert.equal(36, x:sum():item())
    same({ { 6, 8 }, { 10, 12 } }, x:sum(1))
    same({ 14, 22 }, x:sum { 1, 3 })
    same({ { { 3 }, { 7 } }, { { 11 }, { 15 } } }, x:sum(-1, { keep = true }))
    same({ { 6, 8 }, { 10, 12 } }, x:transpose(1, 2):sum(2))
  end)
  it("is 0 over nothing", function()
    assert.equal(0, convlua.zeros(0, 3):sum():item())
    same({ 0, 0, 0 }, convlua.zeros(0, 3):sum(1))
    assert.same({ 0 }, convlua.zeros(0, 3):sum(2).shape)
  end)
  it("counts truth and sums integers in int64", function()
    local y = tensor({ true, false, true }):sum()
    assert.equal("int64", y.dtype)
    assert.equal(2, y:item())
    assert.equal(510, int({ 255, 255 }, "uint8"):sum():item())
  end)
  it("loses nothing in float32 where single sums would", function()
    assert.close(convlua.full({ 1000003 }, 0.1):sum():item(), 1000003 * 0.1, 1e-6)
    local y = convlua.concat { tensor { 16777216 }, convlua.ones(1000) } -- 2^24 + 1 is not a float32
    assert.equal(16777216 + 1000, y:sum():item())
  end)
  it("agrees with integers exactly for every set of axes of a permuted tensor", function()
    local base = convlua.randint(-9, 9, { 5, 4, 3, 2 }, { dtype = "int64" })
    local list = { { 1 }, { 2 }, { 3 }, { 4 }, { 1, 2 }, { 1, 3 }, { 2, 4 }, { 1, 2, 3 }, { 2, 3, 4 },
      { 1, 2, 3, 4 } }
    for _, order in ipairs { { 1, 2, 3, 4 }, { 4, 3, 2, 1 }, { 2, 4, 1, 3 }, { 3, 1, 4, 2 } } do
      local permuted = base:permute(order)
      for _, axes in ipairs(list) do
        local exact = permuted:contiguous():sum(axes)
        same(exact:to_table(), permuted:sum(axes))
        same(exact:to_table(), permuted:cast("float32"):sum(axes):cast "int64")
      end
    end
  end)
  it("has the same bits for any number of threads", function()
    local before, results = convlua.threads(), {}
    local y = convlua.randn(4096, 65)
    for _, threads in ipairs { 1, 2, 4 } do
      convlua.threads(threads)
      results[#results + 1] = y:sum():to_bytes() .. y:sum(1):to_bytes() .. y:sum(2):to_bytes()
    end
    convlua.threads(before)
    assert.equal(results[1], results[2])
    assert.equal(results[1], results[3])
  end)
end)

describe("reductions", function()
  local x = tensor { { 3, 1, 2 }, { 9, 9, 4 } }
  it("find the extremes and where the first of them stands", function()
    assert.equal(9, x:max():item())
    same({ 1, 4 }, x:min(2))
    same({ 9, 9, 4 }, x:max(1))
    same({ 1, 1 }, x:argmax(2))
    same({ { 2 }, { 3 } }, x:argmin(2, { keep = true }))
    assert.equal(4, x:argmax():item())
    assert.equal("int64", x:argmax().dtype)
  end)
  it("let NaN win", function()
    local y = tensor { 1, nan, 3, 2, 5, 6, 7, 8, 9, 10, 11 }
    assert.truthy(y:max():is_nan():item())
    assert.truthy(y:min():is_nan():item())
    assert.equal(2, y:argmax():item())
  end)
  it("give the gradient of a maximum to the first of equals", function()
    local y = tensor({ { 3, 1, 3 } }, { requires_grad = true })
    y:max():backward()
    same({ { 1, 0, 0 } }, y.grad)
  end)
  it("multiply, with an exact gradient where there is a 0", function()
    same({ 6, 324 }, x:prod(2))
    local y = tensor({ 2, 0, 4 }, { requires_grad = true })
    y:prod():backward()
    same({ 0, 8, 0 }, y.grad)
    assert.equal(1, convlua.zeros(0):prod():item())
  end)
  it("know any and all", function()
    local y = tensor { { 0, 1 }, { 1, 1 }, { 0, 0 } }
    same({ true, true, false }, y:any(2))
    same({ false, true, false }, y:all(2))
    assert.truthy(convlua.zeros(0):all():item())
    assert.falsy(convlua.zeros(0):any():item())
  end)
  it("take means, variances and deviations as NumPy with ddof = 1", function()
    local y = tensor { { 1, 2, 3, 4 }, { 2, 2, 2, 2 } }
    same({ 2.5, 2 }, y:mean(2))
    assert.close(y:var(2), { 5 / 3, 0 })
    assert.close(y:var(2, { unbiased = false }), { 1.25, 0 })
    assert.close(y:std(2), { math.sqrt(5 / 3), 0 })
    assert.equal("float32", int({ 1, 2 }):mean().dtype)
    assert.equal(1.5, int({ 1, 2 }):mean():item())
    assert.truthy(tensor({ 1 }):var():is_nan():item())
  end)
  it("measure norms", function()
    local y = tensor { { 3, -4 }, { 0, 0 } }
    same({ 5, 0 }, y:norm { axis = 2 })
    same({ 7, 0 }, y:norm(1, { axis = 2 }))
    same({ 4, 0 }, y:norm(huge, { axis = 2 }))
    assert.close(y:norm(3, { axis = 2 }), { 91 ^ (1 / 3), 0 })
    local z = tensor({ 0, 0 }, { requires_grad = true })
    z:norm():backward()
    same({ 0, 0 }, z.grad)
  end)
  it("take the logarithm of sums of exponentials without overflow", function()
    assert.close(tensor({ { 1000, 1000 }, { -1000, -1000 } }):logsumexp(2), { 1000 + math.log(2), -1000 + math.log(2) })
    assert.equal(-huge, tensor({ -huge, -huge }):logsumexp():item())
  end)
  it("add up along an axis", function()
    same({ { 3, 4, 6 }, { 9, 18, 22 } }, x:cumsum(2))
    same({ { 6, 3, 2 }, { 22, 13, 4 } }, x:cumsum(2, { reverse = true }))
  end)
  it("name the largest few, ties in order", function()
    same({ { 1, 3 }, { 1, 2 } }, x:topk(2))
    same({ { 2, 2, 2 } }, x:topk { k = 1, axis = 1 })
    same({ { 3, 2 }, { 9, 9 } }, x:gather(x:topk(2), 2))
  end)
end)

describe("views", function()
  local x = convlua.arange(1, 24):reshape(2, 3, 4)
  it("share memory with what they show", function()
    local y = convlua.zeros(2, 3)
    y:transpose():select(1, 3):fill_(7)
    same({ { 0, 0, 7 }, { 0, 0, 7 } }, y)
    y:reshape(3, 2):select(1, 1):fill_(1)
    same({ { 1, 1, 7 }, { 0, 0, 7 } }, y)
  end)
  it("reshape in row-major order and work out one size", function()
    assert.same({ 4, 6 }, x:reshape(4, -1).shape)
    same({ 1, 2 }, x:reshape(-1):slice(1, 1, 2))
    assert.same({}, convlua.ones(1):reshape({}).shape)
    assert.same({ 0, 5 }, convlua.zeros(0, 3):reshape(0, 5).shape)
  end)
  it("reshape without a copy where strides can say it, else with one", function()
    local y = convlua.zeros(4, 6)
    y:slice(1, 1, 4, 2):reshape(2, 2, 3):fill_(1) -- rows stay whole
    same({ 6, 0, 6, 0 }, y:sum(2))
    local z = convlua.zeros(2, 3)
    z:transpose():reshape(6):fill_(1) -- a copy
    assert.equal(0, z:sum():item())
  end)
  it("permute and transpose", function()
    assert.same({ 4, 2, 3 }, x:permute(3, 1, 2).shape)
    assert.equal(x:to_table()[2][3][1], x:permute(3, 1, 2):to_table()[1][2][3])
    same({ { 1, 3 }, { 2, 4 } }, tensor({ { 1, 2 }, { 3, 4 } }):transpose())
  end)
  it("slice with both ends, steps and directions", function()
    local y = tensor { 1, 2, 3, 4, 5 }
    same({ 2, 3, 4 }, y:slice(1, 2, 4))
    same({ 4, 5 }, y:slice(1, -2))
    same({ 1, 3, 5 }, y:slice { axis = 1, step = 2 })
    same({ 5, 4, 3, 2, 1 }, y:slice { axis = 1, step = -1 })
    same({ 5, 3 }, y:slice(1, 5, 2, -2))
    same({}, y:slice(1, 4, 2))
    same({ 2 }, y:slice(1, 2, 3, math.maxinteger))
    same({ { 4 }, { 2 } }, tensor({ { 1, 2 }, { 3, 4 } }):flip(1):flip(2):slice(2, 1, 1))
  end)
  it("select, squeeze, unsqueeze, expand, flatten", function()
    same({ 9, 10, 11, 12 }, x:select(1, 1):select(1, -1))
    assert.same({ 2, 3 }, convlua.zeros(2, 1, 3, 1):squeeze().shape)
    assert.same({ 2, 1, 3 }, convlua.zeros(2, 1, 3, 1):squeeze(-1).shape)
    assert.same({ 2, 1, 3 }, convlua.zeros(2, 3):unsqueeze(2).shape)
    assert.same({ 2, 3, 1 }, convlua.zeros(2, 3):unsqueeze(-1).shape)
    same({ { 1, 1, 1 }, { 2, 2, 2 } }, tensor({ { 1 }, { 2 } }):expand(2, 3))
    assert.same({ 2, 12 }, x:flatten(2).shape)
    assert.same({ 1 }, tensor(3):flatten().shape)
  end)
  it("show diagonals and triangles", function()
    local y = tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    same({ 1, 5 }, y:diag())
    same({ { 1, 0 }, { 0, 2 } }, tensor({ 1, 2 }):diag())
    same({ { 1, 0, 0 }, { 4, 5, 0 } }, y:tril())
    same({ { 0, 2, 3 }, { 0, 0, 6 } }, y:triu(1))
    same({ { 1, 2, 3 }, { 4, 5, 6 } }, y:tril(100))
    same({ { 0, 0, 0 }, { 0, 0, 0 } }, y:tril(math.mininteger))
  end)
end)

describe("tensors put together", function()
  it("concatenate, stack and promote", function()
    same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, convlua.concat { tensor { { 1, 2 } }, tensor { { 3, 4 }, { 5, 6 } } })
    same({ { 1, 2, 9 } }, convlua.concat({ tensor { { 1, 2 } }, tensor { { 9 } } }, 2))
    same({ { 1, 3 }, { 2, 4 } }, convlua.stack({ tensor { 1, 2 }, tensor { 3, 4 } }, 2))
    assert.equal("float32", convlua.concat({ int { 1 }, tensor { 0.5 } }).dtype)
    local many = {}
    for i = 1, 100 do many[i] = tensor { i } end
    assert.equal(5050, convlua.concat(many):sum():item())
  end)
  it("pad with a value, a mirror or the edge", function()
    local x = tensor { { 1, 2, 3 } }
    same({ { 7, 1, 2, 3, 7, 7 } }, x:pad({ { 0, 0 }, { 1, 2 } }, { value = 7 }))
    same({ { 3, 2, 1, 2, 3, 2 } }, x:pad({ { 0, 0 }, { 2, 1 } }, "reflect"))
    same({ { 1, 1, 2, 3, 3 }, { 1, 1, 2, 3, 3 } }, x:pad({ { 1, 0 }, { 1, 1 } }, "replicate"))
  end)
  it("tile, repeat, roll", function()
    local x = tensor { { 1, 2 }, { 3, 4 } }
    same({ { 1, 2, 1, 2 }, { 3, 4, 3, 4 } }, x:tile { 1, 2 })
    same({ { { 1, 2 }, { 3, 4 } }, { { 1, 2 }, { 3, 4 } } }, x:tile { 2, 1, 1 })
    same({ { 1, 2 }, { 1, 2 }, { 3, 4 }, { 3, 4 } }, x:repeat_each(2, 1))
    same({ { 1, 1, 2, 2 }, { 3, 3, 4, 4 } }, x:repeat_each(2, -1))
    same({ 4, 5, 1, 2, 3 }, tensor({ 1, 2, 3, 4, 5 }):roll(2, 1))
    same({ 2, 3, 4, 5, 1 }, tensor({ 1, 2, 3, 4, 5 }):roll(-6, 1))
  end)
end)

describe("positions", function()
  local x = tensor { { 1, 2, 3 }, { 4, 5, 6 } }
  it("count from 1, or from the end", function()
    same({ { 4, 5, 6 }, { 1, 2, 3 } }, x:index_select(int { 2, 1 }))
    same({ { 3, 1 }, { 6, 4 } }, x:index_select(int { -1, 1 }, 2))
    same({ { { 1 }, { 3 } }, { { 4 }, { 6 } } }, x:index_select(int { { 1 }, { 3 } }, 2))
    same({ { 3, 1 }, { 5, 5 } }, x:gather(int { { 3, 1 }, { 2, 2 } }, 2))
    same({ { 4, 2, 6 } }, x:gather(int { { 2, 1, -1 } }, 1))
  end)
  it("take any integer type, but no other", function()
    for _, dtype in ipairs { "int32", "int64", "uint8" } do same({ { 4, 5, 6 } }, x:index_select(int({ 2 }, dtype))) end
    assert.raises_like(function() x:index_select(tensor { 1.0 }) end, "got float32")
    assert.raises_like(function() x:index_select(tensor { true }) end, "got bool")
  end)
  it("add gradients where a position comes twice", function()
    local w = convlua.zeros(3, 2, { requires_grad = true })
    w:index_select(int { 2, 2, 3 }):sum():backward()
    same({ { 0, 0 }, { 2, 2 }, { 1, 1 } }, w.grad)
  end)
  it("become one-hot", function()
    same({ { 0, 0, 1 }, { 1, 0, 0 } }, int({ 3, 1 }):one_hot(3))
    same({ { { true, false } } }, int({ { 1 } }):one_hot(2, { dtype = "bool" }))
  end)
end)

describe("matmul", function()
  local a, b = tensor { { 1, 2 }, { 3, 4 } }, tensor { { 5, 6 }, { 7, 8 } }
  it("multiplies matrices and vectors as NumPy", function()
    same({ { 19, 22 }, { 43, 50 } }, convlua.matmul(a, b))
    same({ 17, 39 }, convlua.matmul(a, tensor { 5, 6 }))
    same({ 23, 34 }, convlua.matmul(tensor { 5, 6 }, a))
    assert.equal(61, convlua.matmul(tensor { 5, 6 }, tensor { 5, 6 }):item())
    same({ { 26, 30 }, { 38, 44 } }, convlua.matmul(a:transpose(), b))
  end)
  it("works for integers, mixed types and nothing", function()
    same({ { 19, 22 }, { 43, 50 } }, convlua.matmul(a:cast "int32", b:cast "int32"))
    assert.equal("float64", convlua.matmul(a, b:cast "float64").dtype)
    same({ { 0, 0 }, { 0, 0 } }, convlua.matmul(convlua.zeros(2, 0), convlua.zeros(0, 2)))
    assert.same({ 0, 2 }, convlua.matmul(convlua.zeros(0, 3), convlua.zeros(3, 2)).shape)
  end)
  it("broadcasts leading axes, with any strides", function()
    local x = convlua.randint(-5, 5, { 2, 1, 3, 4 }, { dtype = "int64" })
    local y = convlua.randint(-5, 5, { 5, 4, 2 }, { dtype = "int64" })
    local exact = convlua.matmul(x, y)
    assert.same({ 2, 5, 3, 2 }, exact.shape)
    for _, dtype in ipairs { "float32", "float64" } do
      local xf, yf = x:cast(dtype), y:cast(dtype)
      same(exact:to_table(), convlua.matmul(xf, yf):cast "int64")
      local xt = xf:permute(4, 3, 2, 1):contiguous():permute(4, 3, 2, 1)
      local yt = yf:transpose():contiguous():transpose()
      same(exact:to_table(), convlua.matmul(xt, yt):cast "int64")
    end
  end)
  -- x and y in their order, or stored by columns
  local function by_columns(x) return x:transpose():contiguous():transpose() end
  local function ways(x, y)
    local result = {}
    for _, left in ipairs { x, by_columns(x) } do
      for _, right in ipairs { y, by_columns(y) } do result[#result + 1] = convlua.matmul(left, right):cast "int64" end
    end
    return result
  end
  it("multiplies few rows with wide and with long matrices", function()
    for _, sizes in ipairs {
      { 1, 300, 416 }, { 3, 70, 128 }, { 13, 520, 160 }, { 65, 40, 64 }, { 1, 5000, 128 }, { 95, 290, 192 }, { 40, 9000, 64 },
      { 1, 300, 72 }, { 30, 300, 48 },
    } do
      local m, k, n = table.unpack(sizes)
      local x = convlua.randint(-5, 5, { m, k }, { dtype = "int64" })
      local y = convlua.randint(-5, 5, { k, n }, { dtype = "int64" })
      local exact = convlua.matmul(x, y):to_table()
      for _, product in ipairs(ways(x:cast "float32", y:cast "float32")) do same(exact, product) end
    end
  end)
  it("multiplies many rows that lie apart, with full and with ragged tiles", function()
    for _, sizes in ipairs {
      { 66, 5, 10 }, { 70, 300, 200 }, { 300, 700, 100 }, { 513, 600, 33 }, { 1000, 256, 72 }, { 50000, 16, 64 }, { 130, 300, 24 },
    } do
      local m, k, n = table.unpack(sizes)
      local x = convlua.randint(-5, 5, { m, k + 3 }, { dtype = "int64" })
      local y = convlua.randint(-5, 5, { k, n }, { dtype = "int64" })
      local exact, rows = convlua.matmul(x:slice(2, 3, k + 2), y), x:cast "float32":slice(2, 3, k + 2)
      for _, product in ipairs(ways(rows, y:cast "float32")) do
        assert.equal(0, (product - exact):abs():max():item(), ("%d x %d x %d"):format(m, k, n))
      end
    end
  end)
  it("multiplies rows that lie apart in columns, and columns that compete for a set of the cache", function()
    for _, sizes in ipairs { { 90, 300, 128 }, { 200, 300, 70 }, { 1021, 140, 40 }, { 700, 150, 330 } } do
      local m, k, n = table.unpack(sizes)
      local x = convlua.randint(-5, 5, { k, m + 3 }, { dtype = "int64" })
      local y = convlua.randint(-5, 5, { k, n }, { dtype = "int64" })
      local exact = convlua.matmul(x:slice(2, 3, m + 2):transpose(), y)
      local product = convlua.matmul(x:cast "float32":slice(2, 3, m + 2):transpose(), y:cast "float32")
      assert.equal(0, (product:cast "int64" - exact):abs():max():item(), ("%d x %d x %d"):format(m, k, n))
    end
  end)
  it("multiplies vectors, whichever side they are on and however the matrix is stored", function()
    for _, sizes in ipairs {
      { 1, 7, 1 }, { 1, 37, 259 }, { 211, 45, 1 }, { 33, 1, 150 }, { 1, 790, 260 }, { 1, 1200, 1000 },
      { 1100, 1, 1030 }, { 1, 1, 5 },
    } do
      local m, k, n = table.unpack(sizes)
      local x = convlua.randint(-5, 5, { m, k }, { dtype = "int64" })
      local y = convlua.randint(-5, 5, { k, n }, { dtype = "int64" })
      local exact = convlua.matmul(x, y):to_table()
      for _, product in ipairs(ways(x:cast "float32", y:cast "float32")) do same(exact, product) end
    end
  end)
  it("joins the rows of many matrices against one", function()
    local x = convlua.randint(-5, 5, { 3, 5, 4 }, { dtype = "int64" })
    local w = convlua.randint(-5, 5, { 4, 6 }, { dtype = "int64" })
    local exact, xf, wf = convlua.matmul(x, w):to_table(), x:cast "float32", w:cast "float32"
    same(exact, convlua.matmul(xf, wf):cast "int64")
    xf = xf:transpose(1, 2):contiguous():transpose(1, 2) -- the rows are not evenly spaced
    same(exact, convlua.matmul(xf, wf):cast "int64")
  end)
end)

describe("softmax and the losses", function()
  it("are stable for large logits", function()
    assert.close(convlua.softmax(tensor { { 1000, 1000 }, { -1000, 0 } }), { { 0.5, 0.5 }, { 0, 1 } })
    assert.close(convlua.log_softmax(tensor { 1000, 0 }), { 0, -1000 })
    assert.close(convlua.softmax(tensor { { 0, 1 }, { 0, 1 } }, 1), { { 0.5, 0.5 }, { 0.5, 0.5 } })
  end)
  it("measure cross-entropy in nats", function()
    local x = tensor { { 1, 2, 3 }, { 0, 0, 0 } }
    local l1, l2 = math.log(math.exp(1) + math.exp(2) + math.exp(3)) - 3, math.log(3)
    assert.close(convlua.softmax_cross_entropy(x, int { 3, 1 }):item(), (l1 + l2) / 2)
    assert.close(convlua.softmax_cross_entropy(x, int { 3, 1 }, { reduction = "none" }), { l1, l2 })
    assert.close(convlua.softmax_cross_entropy(x, int { 3, 1 }, { reduction = "sum" }):item(), l1 + l2)
    assert.close(convlua.softmax_cross_entropy(x, tensor { { 0, 0, 1 }, { 1, 0, 0 } }):item(), (l1 + l2) / 2)
    -- smoothing s moves s / 3 of the weight to each class; the mean logit of the first row is 2
    assert.close(convlua.softmax_cross_entropy(x:slice(1, 1, 1), int { 3 }, { label_smoothing = 0.3 }):item(), l1 + 0.3)
    assert.close(convlua.softmax_cross_entropy(tensor { { 1e4, 0 } }, int { 2 }):item(), 1e4)
  end)
  it("refuse a label 0 in the words of someone who counts from 0", function()
    assert.raises_like(function() convlua.softmax_cross_entropy(convlua.randn(2, 3), int { 0, 1 }) end, "start at 1")
  end)
  it("measure errors", function()
    local x, t = tensor { 1, 2, 5 }, tensor { 1, 4, 2 }
    assert.close(convlua.mse(x, t):item(), 13 / 3)
    assert.close(convlua.mae(x, t):item(), 5 / 3)
    assert.close(convlua.huber(x, t, { reduction = "none" }), { 0, 1.5, 2.5 })
    assert.close(convlua.sigmoid_cross_entropy(tensor { 0, 100, -100 }, tensor { 1, 1, 0 }, { reduction = "none" }),
      { math.log(2), 0, 0 })
  end)
end)
