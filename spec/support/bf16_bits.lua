-- Run by precision_spec.lua under one setting of CONVLUA_ISA and CONVLUA_CONV. Prints sums of the bits of
-- products and convolutions with bfloat16 operands, one line each; NaN counts as NaN, whichever it is.

local convlua = require "convlua"
local core = require "convlua.core"

-- FNV-1a of the elements.
local function sum_of(x)
  local bytes, h = (x:detach() * 1):to_bytes(), 0xcbf29ce484222325
  for i = 1, #bytes, 4 do
    local bits = string.unpack("<I4", bytes, i)
    if bits & 0x7fffffff > 0x7f800000 then bits = 0x7fc00000 end
    h = (h ~ bits) * 0x100000001b3
  end
  return ("%016x"):format(h)
end

--- Random bits: all exponents, subnormal numbers, infinities and NaN, in the share that `special` asks for.
local state = 88172645463325252
local function random_bits()
  state = state ~ (state << 13)
  state = state ~ (state >> 7)
  state = state ~ (state << 17)
  return state >> 16 & 0xffffffff
end

local function words(shape, pick)
  local n, out = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do out[i] = string.pack("<I4", pick(random_bits())) end
  return convlua.from_bytes(table.concat(out), shape, "float32")
end

local function sign_and_fraction(bits, exponent) return bits & 0x807fffff | exponent << 23 end

local kinds = {
  ordinary = function(bits) return sign_and_fraction(bits, 120 + bits // 0x800000 % 14) end,
  tiny = function(bits) return sign_and_fraction(bits, 50 + bits // 0x800000 % 30) end,
  huge = function(bits) return sign_and_fraction(bits, 180 + bits // 0x800000 % 20) end,
  any = function(bits) return bits end,
}

local function full(f, ...) return core.autograd.precision("bf16-full", f, ...) end

for _, kind in ipairs { "ordinary", "tiny", "huge", "any" } do
  for _, sizes in ipairs { { 1, 1, 1 }, { 3, 5, 7 }, { 13, 33, 40 }, { 30, 17, 129 }, { 5, 600, 20 } } do
    local m, k, n = table.unpack(sizes)
    if kind == "any" then k = math.min(k, 3) end -- longer sums of anything are NaN
    local a, b = words({ m, k }, kinds[kind]), words({ k, n }, kinds[kind])
    print("matmul", kind, m, k, n, "=", sum_of(full(convlua.matmul, a, b)),
      sum_of(full(convlua.matmul, b:transpose(1, 2), a:transpose(1, 2))))
  end
end

convlua.manual_seed(3)
for _, case in ipairs { { 2, 9, 24, 3, 40, 1 }, { 3, 9, 5, 3, 7, 2 }, { 2, 4, 130, 3, 70, 1 }, { 1, 11, 66, 3, 33, 2 },
  { 2, 9, 24, 4, 40, 1 } } do
  local n, size, c, filter, k, stride = table.unpack(case)
  local options = { padding = "same", strides = stride }
  local x, w = convlua.randn { n, size, size, c }, convlua.randn { filter, filter, c, k }
  x.requires_grad, w.requires_grad = true, true
  for _, threads in ipairs { 1, 2, 5 } do
    core.threads(threads)
    local y = full(convlua.conv2d, x, w, nil, options)
    local gx, gw = table.unpack(core.autograd.grad((y * y):sum(), { x, w }))
    print("conv2d", n, size, c, filter, k, stride, "=", sum_of(y), sum_of(gx), sum_of(gw))
  end
end
