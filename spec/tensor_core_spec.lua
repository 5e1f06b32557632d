local convlua = require "convlua"

describe("a tensor's birth", function()
  it("gives zeros, ones and full by sizes, by a table, with options in either table", function()
    assert.are.same({ { 0, 0 }, { 0, 0 } }, convlua.zeros(2, 2):to_table())
    assert.are.same({ 1, 1, 1 }, convlua.ones({ 3 }):to_table())
    assert.are.equal("float64", convlua.zeros { 2, dtype = "float64" }.dtype)
    assert.are.equal("int32", convlua.zeros(2, 3, { dtype = "int32" }).dtype)
    assert.are.same({ 7, 7 }, convlua.full({ 2 }, 7, { dtype = "uint8" }):to_table())
    assert.are.equal(1, convlua.zeros():numel())
  end)

  it("reads nested tables, numbers and booleans", function()
    local x = convlua.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.are.same({ 2, 3 }, x.shape)
    assert.are.equal("float32", x.dtype)
    assert.are.equal("bool", convlua.tensor({ true, false }).dtype)
    assert.are.equal(2.5, convlua.tensor(2.5):item())
    assert.are.same({ 9007199254740993 }, convlua.tensor({ 9007199254740993 }, "int64"):to_table())
    assert.are.same({ 0, 2 }, convlua.tensor({ {}, {} }).shape[2] == 0 and { 0, 2 } or {})
  end)

  it("refuses ragged tables, strange values and impossible shapes", function()
    assert.raises_like(function() convlua.tensor { { 1, 2 }, { 3 } } end, "ragged: 2 elements expected along axis 2, got 1")
    assert.raises_like(function() convlua.tensor { "one" } end, "numbers or booleans expected")
    assert.raises_like(function() convlua.zeros { 1 << 40, 1 << 40 } end, "larger than any memory")
    assert.raises_like(function() convlua.zeros { 0, math.maxinteger, 3 } end, "larger than any memory")
    assert.raises_like(function() convlua.zeros { -1 } end, "shape must be 0 or more, got -1")
    assert.raises_like(function() convlua.zeros { 2.5 } end, "integer")
    assert.raises_like(function() convlua.zeros { 1, 1, 1, 1, 1, 1, 1, 1, 1 } end, "at most 8 integers")
    assert.raises_like(function() convlua.zeros(2, { dtyp = "float64" }) end, "unknown option 'dtyp'")
    assert.raises_like(function() convlua.zeros(2, { dtype = "float8" }) end, "no element type 'float8'")
    assert.raises_like(function() convlua.zeros(2, { device = "tpu" }) end, "no device has the name 'tpu'")
    assert.raises_like(function() convlua.zeros(2, { dtype = "int32", requires_grad = true }) end,
      "only floating tensors have gradients")
  end)

  it("counts with arange and linspace, both ends included", function()
    assert.are.same({ 1, 2, 3, 4, 5 }, convlua.arange(1, 5):to_table())
    assert.are.equal("int64", convlua.arange(1, 5).dtype)
    assert.are.same({ 5, 3, 1 }, convlua.arange(5, 1, -2):to_table())
    assert.are.equal(0, convlua.arange(5, 1):numel())
    assert.close({ 0, 0.25, 0.5, 0.75, 1 }, convlua.linspace(0, 1, 5))
    assert.are.same({ { 1, 0 }, { 0, 1 } }, convlua.eye(2):to_table())
  end)

  it("comes back from bytes as it went", function()
    local x = convlua.randn { 3, 4, dtype = "float64" }
    assert.are.same(x:to_table(), convlua.from_bytes(x:to_bytes(), { 3, 4 }, "float64"):to_table())
    assert.raises_like(function() convlua.from_bytes("123", { 2 }, "float32") end, "8 bytes expected, got 3")
  end)
end)

describe("random numbers", function()
  local function draw(threads)
    local before = convlua.threads()
    convlua.threads(threads)
    convlua.manual_seed(7)
    local bytes = convlua.randn(100003):to_bytes() .. convlua.rand(50001):to_bytes() ..
      convlua.randint(1, 6, { 999 }):to_bytes()
    convlua.threads(before)
    return bytes
  end

  it("are the same for a seed, whatever the number of threads", function()
    local one = draw(1)
    assert.is_true(one == draw(2))
    assert.is_true(one == draw(4))
  end)

  it("have the mean, the spread and the range that they should", function()
    convlua.manual_seed(1)
    local normal, uniform = convlua.randn { 200000, dtype = "float64" }, convlua.rand(200000)
    assert.close(0, normal:sum():item() / 200000, 0.01)
    assert.close(1, (normal * normal):sum():item() / 200000, 0.02)
    assert.close(0.5, uniform:sum():item() / 200000, 0.005)
    local low, high = 9, 0
    for _, v in ipairs(convlua.randint(1, 6, { 1000 }):to_table()) do
      low, high = math.min(low, v), math.max(high, v)
    end
    assert.are.same({ 1, 6 }, { low, high })
  end)

  it("go on where a saved state stood", function()
    convlua.manual_seed(3)
    convlua.randn(10)
    local state = convlua.rng_state()
    local a = convlua.randn(10):to_table()
    convlua.rng_state(state)
    assert.are.same(a, convlua.randn(10):to_table())
  end)
end)

describe("indexing", function()
  local x = convlua.arange(1, 24):reshape(2, 3, 4)

  it("takes an axis away with a number, from the front or the end", function()
    assert.are.same({ 3, 4 }, x[1].shape)
    assert.are.same(x[2]:to_table(), x[-1]:to_table())
    assert.are.equal(24, x[2][3][4]:item())
    assert.are.equal(24, x[{ -1, -1, -1 }]:item())
  end)

  it("slices with {first, last, step}, both ends included", function()
    assert.are.same({ { 2, 3 }, { 6, 7 } }, x[{ 1, { 1, 2 }, { 2, 3 } }]:to_table())
    assert.are.same({ 4, 3, 2, 1 }, x[{ 1, 1, { -1, 1, -1 } }]:to_table())
    assert.are.same({ 2, 3, 1 }, x[{ {}, {}, { 2 } }].shape)
  end)

  it("shares memory with the original", function()
    local y = convlua.zeros(3, 3)
    y[2] = 5
    y[{ {}, 1 }] = convlua.tensor { 1, 2, 3 }
    assert.are.same({ { 1, 0, 0 }, { 2, 5, 5 }, { 3, 0, 0 } }, y:to_table())
    y[{ { 1, 2 }, { 2, 3 } }] = y[{ { 2, 3 }, { 2, 3 } }]
    assert.are.same({ { 1, 5, 5 }, { 2, 0, 0 }, { 3, 0, 0 } }, y:to_table())
  end)

  it("says what is out of range", function()
    assert.has_error(function() return x[3] end)
    assert.has_error(function() return x[0] end)
    assert.raises_like(function() return x[{ 1, 2, 3, 4 }] end, "")
    assert.raises_like(function() return x[1.5] end, "integer or table expected")
    assert.raises_like(function() x.colour = 1 end, "no field 'colour'")
    assert.raises_like(function() convlua.zeros(2, 3)[1] = convlua.zeros(4) end, "does not fit")
    assert.raises_like(function() convlua.zeros(3):copy_(convlua.zeros(2, 3)) end, "does not fit into {3}")
  end)
end)

describe("a tensor as Lua sees it", function()
  it("prints like NumPy, with long axes elided", function()
    assert.are.equal("{{1.0, 2.0},\n {3.0, 4.0}}\n(shape {2, 2}, float32, cpu)",
      tostring(convlua.tensor { { 1, 2 }, { 3, 4 } }))
    assert.are.equal("{true, false}\n(shape {2}, bool, cpu)", tostring(convlua.tensor { true, false }):gsub(" +t", "t"))
    local text = tostring(convlua.arange(1, 1000))
    assert.is_truthy(text:find("{   1,    2,    3, ...,  998,  999, 1000}", 1, true))
    assert.is_truthy(tostring(convlua.zeros(0)):find("{}", 1, true))
    assert.is_truthy(tostring(convlua.tensor(0 / 0)):find("nan", 1, true))
  end)

  it("has a length, rows, sizes and a type", function()
    local x = convlua.zeros(2, 3)
    assert.are.equal(2, #x)
    assert.are.equal(3, x:size(2))
    assert.are.equal(3, x:size(-1))
    assert.raises_like(function() x:size(3) end, "axis 3 is out of range: the tensor has 2 axes")
    local seen = {}
    for i, row in convlua.tensor({ { 1, 2 }, { 3, 4 } }):rows() do seen[i] = row:to_table() end
    assert.are.same({ { 1, 2 }, { 3, 4 } }, seen)
    assert.is_true(convlua.is_tensor(x))
    assert.is_false(convlua.is_tensor("x"))
  end)

  it("converts between element types and saturates", function()
    local x = convlua.tensor { -1.7, 0, 2.9, 300, 0 / 0 }
    assert.are.same({ -1, 0, 2, 300, 0 }, x:to("int32"):to_table())
    assert.are.same({ 0, 0, 2, 255, 0 }, x:to("uint8"):to_table())
    assert.are.same({ true, false, true, true, true }, x:to("bool"):to_table())
    assert.is_true(x:to("float32"):is_same(x))
  end)

  it("is an error after free(), and freeing twice is not", function()
    local x = convlua.zeros(2)
    x:free()
    x:free()
    assert.raises_like(function() return x + 1 end, "freed")
    assert.are.equal("tensor (freed)", tostring(x))
    do
      local y <close> = convlua.zeros(2)
      x = y
    end
    assert.raises_like(function() x:sum() end, "freed")
  end)
end)

describe("arithmetic with Lua numbers", function()
  it("keeps the tensor's type, but for a fraction beside integers", function()
    local i = convlua.tensor({ 1, 2 }, "int32")
    assert.are.equal("int32", (i + 1).dtype)
    assert.are.equal("float32", (i + 0.5).dtype)
    assert.are.equal("float64", (convlua.zeros { 2, dtype = "float64" } * 0.1).dtype)
    assert.close({ 0.1, 0.1 }, convlua.ones { 2, dtype = "float64" } * 0.1, 1e-16)
    assert.are.same({ 9, 8 }, (10 - i):to_table())
    assert.are.same({ -1, -2 }, (-i):to_table())
  end)

  it("promotes as NumPy does", function()
    local u, f = convlua.tensor({ 1 }, "uint8"), convlua.tensor({ 1.5 }, "float64")
    assert.are.equal("float64", (u + f).dtype)
    assert.are.equal("int64", (u + convlua.tensor({ 1 }, "int64")).dtype)
    assert.are.equal("float32", (u / u).dtype)
    assert.are.same({ 2 }, (convlua.tensor { true } + convlua.tensor { true }):to_table())
  end)
end)
