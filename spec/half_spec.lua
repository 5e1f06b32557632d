-- Tensors of bfloat16 and float16: stored in two bytes, computed in float32, every result rounded once.
-- That each op does so is in ops_spec.lua.

local convlua = require "convlua"
local core = require "convlua.core"
local nn = require "convlua.nn"

local function bf16(data) return convlua.tensor(data, "bfloat16") end

-- The bits of float32 numbers.
local function from_bits(list)
  local bytes = {}
  for i, bits in ipairs(list) do bytes[i] = string.pack("=I4", bits) end
  return convlua.from_bytes(table.concat(bytes), { #list }, "float32")
end

local function to_bits(x)
  local list = {}
  for bits in x:to_bytes():gmatch ".." do list[#list + 1] = string.unpack("=I2", bits) end
  return list
end

describe("bfloat16", function()
  it("is a type like others", function()
    local x = bf16 { { 1, 2.5 }, { -3, 0.1 } }
    assert.equal("bfloat16", x.dtype)
    assert.equal(8, #x:to_bytes())
    assert.same({ { 1, 2.5 }, { -3, 0.10009765625 } }, x:to_table())
    assert.matches("2.5000.*shape {2, 2}, bfloat16, cpu", tostring(x))
    assert.same({ { 1, -3 }, { 2.5, 0.10009765625 } }, x:transpose(1, 2):contiguous():to_table())
    assert.same(x:to_table(), convlua.from_bytes(x:to_bytes(), { 2, 2 }, "bfloat16"):to_table())
    assert.same({ 0.10009765625, 0.10009765625 }, convlua.full({ 2 }, 0.1, { dtype = "bfloat16" }):to_table())
    assert.same({ { 0, 1 }, { 1, 0 } }, convlua.one_hot(convlua.tensor({ 2, 1 }, "int64"), 2, { dtype = "bfloat16" }):to_table())
    x:slice(1, 2, 2):fill_(300)
    assert.same({ { 1, 2.5 }, { 300, 300 } }, x:to_table())
    x:fill_(300)
    assert.same({ { 300, 300 }, { 300, 300 } }, x:to_table())
  end)

  it("rounds float32 to nearest, ties to even, and keeps what is special", function()
    local cases = { -- float32, bfloat16
      { 0x3f800000, 0x3f80 }, { 0x3f807fff, 0x3f80 }, { 0x3f808000, 0x3f80 }, { 0x3f808001, 0x3f81 },
      { 0x3f818000, 0x3f82 }, { 0x7f7fffff, 0x7f80 }, { 0x00000001, 0x0000 }, { 0x00008001, 0x0001 },
      { 0x80018000, 0x8002 }, { 0x7f800000, 0x7f80 }, { 0xff800000, 0xff80 }, { 0x7fffffff, 0x7fff },
      { 0xff800001, 0xffc0 }, { 0x80000000, 0x8000 },
    }
    local from, to = {}, {}
    for i, case in ipairs(cases) do from[i], to[i] = case[1], case[2] end
    assert.same(to, to_bits(from_bits(from):cast "bfloat16"))
  end)

  it("becomes float32 without a change, whatever its bits", function()
    local bytes = {}
    for bits = 0, 0xffff do bytes[bits + 1] = string.pack("=I2", bits) end
    local x = convlua.from_bytes(table.concat(bytes), { 0x10000 }, "bfloat16")
    local wide = x:cast "float32":to_bytes()
    for bits = 0, 0xffff do
      local found = string.unpack("=I4", wide, 4 * bits + 1)
      if found ~= bits << 16 then assert.equal(bits << 16, found) end
    end
    assert.equal("bfloat16", x:cast("float32"):cast("bfloat16").dtype)
  end)

  it("lies between the integers and float32", function()
    local x = bf16 { 1, 2 }
    assert.equal("float32", (x + convlua.ones(2)).dtype)
    assert.equal("float64", (x + convlua.ones(2, { dtype = "float64" })).dtype)
    assert.equal("bfloat16", (x + convlua.ones(2, { dtype = "int64" })).dtype)
    assert.equal("bfloat16", (x * 0.5).dtype)
    assert.equal("bool", x:gt(1).dtype)
    assert.same({ 1, -2, 0 }, bf16({ 1.5, -2.5, 0 / 0 }):cast("int32"):to_table())
  end)

  it("sums without losing small terms", function()
    assert.equal(4096, convlua.ones(4096, { dtype = "bfloat16" }):sum():item())
    assert.equal(1, convlua.ones(4096, { dtype = "bfloat16" }):mean():item())
  end)

  it("has gradients of its own type", function()
    local x = bf16 { 1, 2, 3 }
    x.requires_grad = true
    ((x * x):sum() + x:sum()):backward()
    assert.equal("bfloat16", x.grad.dtype)
    assert.same({ 3, 5, 7 }, x.grad:to_table())
    local master = convlua.tensor({ 1.001, 2 })
    master.requires_grad = true
    local y = master:cast "bfloat16"
    ;(y * y):sum():backward()
    assert.equal("float32", master.grad.dtype)
    assert.same({ 2, 4 }, master.grad:to_table())
  end)

  it("is drawn below the upper bound, from the numbers that float32 gets", function()
    convlua.manual_seed(4)
    local narrow = convlua.rand({ 20000 }, { dtype = "bfloat16" })
    convlua.manual_seed(4)
    local wide = convlua.rand { 20000 }
    assert.is_true(narrow:max():item() < 1)
    assert.is_true(convlua.rand({ 20000 }, { dtype = "float16" }):max():item() < 1)
    assert.is_true((narrow:cast "float32" - wide):abs():min():item() <= 0x1p-9)
    assert.is_true(math.abs(narrow:cast("float32"):mean():item() - 0.5) < 0.01)
    convlua.manual_seed(4)
    local normal = convlua.randn({ 999 }, { dtype = "bfloat16" })
    convlua.manual_seed(4)
    assert.same(convlua.randn({ 999 }):cast("bfloat16"):to_table(), normal:to_table())
  end)

  it("goes to a file and back, as two bytes of no type of NumPy's or as its float16", function()
    local path = os.tmpname()
    for dtype, descr in pairs { bfloat16 = "<V2", float16 = "<f2" } do
      local x = convlua.randn({ 3, 5 }, { dtype = dtype })
      core.io.save_npz(path, { x = x })
      local y = core.io.load_npz(path).x
      local bytes = core.io.read_file(path)
      assert.equal(dtype, y.dtype)
      assert.equal(x:to_bytes(), y:to_bytes())
      assert.truthy(bytes:find(("'descr': '%s', 'fortran_order': False, 'shape': (3, 5), }"):format(descr), 1, true))
    end
    os.remove(path)
  end)

  it("is a type of a model's parameters, which optimizers refuse", function()
    for _, dtype in ipairs { "bfloat16", "float16" } do
      local model = nn.Sequential {
        nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, padding = "same" }, nn.BatchNorm { feature_count = 4 },
        nn.Flatten(), nn.Dense { input_size = 36, output_size = 5 },
      }
      local x = convlua.randn { 4, 3, 3, 2 }
      local exact = model(x)
      model:to(dtype)
      local y = model(x:cast(dtype))
      assert.equal(dtype, y.dtype)
      assert.close(exact:to_table(), y:cast("float32"):to_table(), 0.1)
      y:sum():backward()
      for path, w in pairs(model:state()) do assert.equal(dtype, w.dtype, path) end
      for _, w in ipairs(model:parameters()) do assert.equal(dtype, w.grad.dtype) end
      assert.raises_like(function()
        core.optimizer { kind = "SGD", parameters = model:parameters(), learning_rate = 1 }
      end, "parameter 1 must be float32 or float64, got " .. dtype)

      local path = os.tmpname()
      model:write_checkpoint(path)
      local restored = nn.Sequential {
        nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, padding = "same" }, nn.BatchNorm { feature_count = 4 },
        nn.Flatten(), nn.Dense { input_size = 36, output_size = 5 },
      }:to(dtype)
      restored:read_checkpoint(path)
      os.remove(path)
      model:eval()
      restored:eval()
      assert.same(model(x:cast(dtype)):to_table(), restored(x:cast(dtype)):to_table())
    end
  end)

  it("is changed in place as an op's result is: once rounded", function()
    local x, one = convlua.randn { 8, 2 }, convlua.ones(2)
    local wide = { convlua.zeros(2), convlua.ones(2) }
    local narrow = { wide[1]:cast "bfloat16", wide[2]:cast "bfloat16" }
    local y = convlua.batch_norm(x, one, one, wide[1], wide[2], nil, { training = true })
    local z = convlua.batch_norm(x, one, one, narrow[1], narrow[2], nil, { training = true })
    assert.same(y:to_table(), z:to_table())
    assert.are_not.same({ 0, 0 }, narrow[1]:to_table())
    for i = 1, 2 do assert.same(wide[i]:cast("bfloat16"):to_table(), narrow[i]:to_table()) end
    assert.raises_like(function()
      local gaps = convlua.zeros({ 4 }, { dtype = "bfloat16" }):slice(1, 1, 4, 2)
      convlua.batch_norm(x, one, one, gaps, narrow[2])
    end, "a tensor that is changed in place must be dense")
  end)

  it("rounds numbers of more bits once, not twice", function()
    -- Just above a tie of bfloat16, at one of float32; and of float16.
    local x = convlua.tensor({ 1 + 0x1p-8 + 0x1p-40, -1 - 0x1p-8 - 0x1p-40, 1 + 0x1p-8 - 0x1p-40 }, "float64")
    assert.same({ 1 + 0x1p-7, -1 - 0x1p-7, 1 }, x:cast("bfloat16"):to_table())
    assert.same({ 1 + 0x1p-7 }, convlua.tensor({ 1 + 0x1p-8 + 0x1p-40 }, "bfloat16"):to_table())
    assert.same({ 1 + 0x1p-10 }, convlua.tensor({ 1 + 0x1p-11 + 0x1p-40 }, "float16"):to_table())
    assert.same({ 0x1020000 }, convlua.tensor({ 0x1010001 }, "int32"):cast("bfloat16"):cast("int32"):to_table())
  end)
end)

describe("float16", function()
  -- What binary16 says of its bits: IEEE 754-2019, table 3.5.
  local function value(bits)
    local sign, exponent, fraction = bits >> 15 == 1 and -1 or 1, bits >> 10 & 31, bits & 1023
    if exponent == 31 then return fraction == 0 and sign * math.huge or 0 / 0 end
    if exponent == 0 then return sign * fraction * 2.0 ^ -24 end
    return sign * (1024 + fraction) * 2.0 ^ (exponent - 25)
  end

  local every = {}
  for bits = 0, 0xffff do every[bits + 1] = string.pack("=I2", bits) end
  local bytes = table.concat(every)

  it("becomes float32 without a change, and comes back, whatever its bits", function()
    local x = convlua.from_bytes(bytes, { 0x10000 }, "float16")
    local wide = x:cast "float32"
    local list = wide:to_table()
    for bits = 0, 0xffff do
      local v = value(bits)
      if list[bits + 1] ~= v and v == v then assert.equal(v, list[bits + 1]) end
      if v ~= v and list[bits + 1] == list[bits + 1] then assert.equal(v, list[bits + 1]) end
    end
    local back = to_bits(wide:cast "float16")
    for bits = 0, 0xffff do
      local quiet = value(bits) ~= value(bits) and 0x200 or 0
      if back[bits + 1] ~= bits | quiet then assert.equal(bits | quiet, back[bits + 1]) end
    end
  end)

  it("rounds what lies between two neighbours to the nearer one, ties to even", function()
    local numbers, expected = {}, {}
    for bits = 0, 0x7bfe, 7 do
      local low, high = value(bits), value(bits + 1)
      local tie, step = (low + high) / 2, (high - low) / 64
      for _, case in ipairs { { tie, bits + bits % 2 }, { tie - step, bits }, { tie + step, bits + 1 } } do
        numbers[#numbers + 1], expected[#expected + 1] = case[1], case[2]
        numbers[#numbers + 1], expected[#expected + 1] = -case[1], case[2] | 0x8000
      end
    end
    assert.same(expected, to_bits(convlua.tensor(numbers, "float32"):cast "float16"))
    assert.same({ 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0, 0x8000 }, to_bits(
      convlua.tensor({ 65519, 65520, 1e30, -math.huge, 0x1p-25, -0x1p-26 }, "float32"):cast "float16"))
  end)

  it("and bfloat16 have float32 in common", function()
    local x, y = convlua.ones({ 2 }, { dtype = "float16" }), convlua.ones({ 2 }, { dtype = "bfloat16" })
    assert.equal("float32", (x + y).dtype)
    assert.equal("float16", (x + convlua.ones({ 2 }, { dtype = "int64" })).dtype)
    assert.equal("float32", (x + convlua.ones { 2 }).dtype)
    assert.equal("float16", (x * 2).dtype)
  end)
end)
