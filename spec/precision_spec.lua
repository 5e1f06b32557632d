-- Products with bfloat16 operands: autograd.precision, train.Loop{ precision = }, and the kernels
-- under them, whose bits are those of one instruction of the CPU whether there is one or not.

local convlua = require "convlua"
local core = require "convlua.core"
local command = require "spec.support.command"

local autograd, nn, optim, train = convlua.autograd, convlua.nn, convlua.optim, convlua.train

local function norm(x) return (x * x):sum():item() ^ 0.5 end
local function distance(a, b) return norm(a - b) / norm(b) end

local function leaf(x)
  x = x:detach():clone()
  x.requires_grad = true
  return x
end

describe("autograd.precision", function()
  before_each(function() convlua.manual_seed(5) end)

  it("is asked for and set, for as long as a function runs, also when that fails", function()
    assert.equal("float32", autograd.precision())
    assert.same({ "bf16", 3, nil, 4 }, { autograd.precision("bf16", function(...)
      return autograd.precision(), ...
    end, 3, nil, 4) })
    assert.raises_like(function() autograd.precision("bf16", error, "so") end, "so")
    assert.equal("float32", autograd.precision())
  end)

  it("refuses what it does not know", function()
    assert.raises_like(function() autograd.precision("fp8", print) end,
      "'float32', 'bf16', 'bf16-full' or 'f16' expected, got 'fp8'")
    assert.raises_like(function() autograd.precision("bf16") end, "function expected")
  end)

  it("multiplies what bfloat16 holds exactly", function()
    for _, sizes in ipairs { { 1, 1, 1 }, { 5, 7, 3 }, { 40, 33, 70 }, { 3, 2100, 9 } } do
      local m, k, n = table.unpack(sizes)
      local a = leaf(convlua.randint(-16, 16, { m, k }):cast "float32")
      local b = leaf(convlua.randint(-16, 16, { k, n }):cast "float32")
      local function products()
        local y = a:matmul(b)
        local ga, gb = table.unpack(autograd.grad(y, { a, b }, { gradient = y:detach():sign() }))
        return { y:detach(), ga, gb }
      end
      local exact, got = products(), autograd.precision("bf16-full", products)
      for i = 1, 3 do assert.equal(0, norm(got[i] - exact[i])) end
    end
  end)

  it("rounds operands to nearest, ties to even", function()
    local one = convlua.ones { 1, 1 }
    for _, case in ipairs { { 1 + 2^-8, 1 }, { 1 + 3 * 2^-8, 1 + 2^-6 }, { 1 + 2^-8 + 2^-20, 1 + 2^-7 } } do
      local x = convlua.full({ 1, 1 }, case[1])
      assert.equal(case[2], autograd.precision("bf16-full", convlua.matmul, x, one):item())
    end
  end)

  it("rounds nothing to float16 on the CPU", function()
    local a, b = leaf(convlua.randn { 20, 30 }), leaf(convlua.randn { 30, 10 })
    local x, w = leaf(convlua.randn { 2, 8, 8, 3 }), leaf(convlua.randn { 3, 3, 3, 4 })
    local function gradients()
      local loss = (a:matmul(b):sum() + convlua.conv2d(x, w):square():sum())
      return autograd.grad(loss, { a, b, x, w })
    end
    local exact, got = gradients(), autograd.precision("f16", gradients)
    for i = 1, 4 do assert.equal(exact[i]:to_bytes(), got[i]:to_bytes()) end
  end)

  it("reaches backward through the tape, wherever that is called", function()
    local a, b = leaf(convlua.randn { 20, 30 }), leaf(convlua.randn { 30, 10 })
    local gradient = convlua.randn { 20, 10 }
    local function gradient_of(y) return (autograd.grad(y, a, { gradient = gradient })) end
    local exact = gradient_of(a:matmul(b))
    local y = autograd.precision("bf16", convlua.matmul, a, b)
    assert.equal(0, norm(y - a:matmul(b)))
    local late = gradient_of(y)
    assert.is_true(distance(late, exact) > 1e-4 and distance(late, exact) < 1e-2)
    local plain = a:matmul(b)
    assert.equal(0, norm(autograd.precision("bf16-full", gradient_of, plain) - exact))
    assert.equal("float32", autograd.precision())
  end)

  it("convolves within 2 % in each pass that it is for, and leaves the others alone", function()
    for _, case in ipairs { { 16, 16, 64, 64, 1 }, { 16, 32, 64, 128, 2 }, { 64, 4, 130, 140, 1 }, { 9, 25, 33, 37, 1 },
      { 64, 2, 130, 140, 1 } } do
      local n, size, c, k, stride = table.unpack(case)
      local x, w = leaf(convlua.randn { n, size, size, c }), leaf(convlua.randn { 3, 3, c, k })
      local options = { padding = "same", strides = stride }
      local gradient = convlua.randn(convlua.conv2d(x, w, nil, options).shape)
      local function passes()
        local y = convlua.conv2d(x, w, nil, options)
        local gx, gw = table.unpack(autograd.grad(y, { x, w }, { gradient = gradient }))
        return { y:detach(), gx, gw }
      end
      local exact = passes()
      for name, first in pairs { bf16 = 2, ["bf16-full"] = 1 } do
        local got = autograd.precision(name, passes)
        for i = 1, 3 do
          local d = distance(got[i], exact[i])
          if i < first then assert.equal(0, d) else assert.is_true(d > 1e-3 and d < 2e-2, ("%d>%d: %g"):format(c, k, d)) end
        end
      end
    end
  end)
end)

describe("the kernels with bfloat16 operands", function()
  local function lines(isa)
    local r = command.run({ "spec/support/bf16_bits.lua" },
      { before = ("CONVLUA_CONV=winograd CONVLUA_ISA=%s"):format(isa) })
    if r.err:find "this CPU has no" then return nil end
    assert.equal("", r.err)
    local found, n = {}, 0
    for line in r.out:gmatch "[^\n]+" do
      local name, sums = line:match "^(.-)\t=\t(.+)$"
      if found[name] then assert.equal(found[name], sums, name .. ": the bits depend on the threads") end
      if not found[name] then found[name], n = sums, n + 1 end
    end
    assert.equal(25, n)
    return found
  end

  -- Transforms are float32 and differ in the last bit where there is no fused multiply-add or
  -- the compiler fuses otherwise: matrix products alone are the same everywhere.
  it("give the same bits with the instruction and without, on subnormal and non-finite numbers too", function()
    local base = assert(lines "baseline")
    for _, isa in ipairs { "avx2", "avx512", "avx512_bf16" } do
      for name, sums in pairs(lines(isa) or {}) do
        if name:find "^matmul" then assert.equal(base[name], sums, isa .. ": " .. name) end
      end
    end
    local emulated, real = lines "avx512", lines "avx512_bf16"
    if not real then return pending "this CPU has no avx512_bf16" end
    assert.same(emulated, real)
  end)
end)

describe("a ResNet's step", function()
  local function new_step(precision)
    convlua.manual_seed(2)
    local model = require "models".resnet18 { class_count = 10, stem = "cifar" }
    model:train()
    local x, y = convlua.randn { 4, 32, 32, 3 }, convlua.randint(1, 10, { 4 })
    local loss = autograd.precision(precision, function()
      local loss = nn.softmax_cross_entropy(model(x), y)
      loss:backward()
      return loss
    end)
    local gradients = {}
    for _, parameter in ipairs(model:parameters()) do gradients[#gradients + 1] = parameter.grad end
    return loss:item(), gradients
  end

  it("keeps its loss and has gradients within 5 % with bf16; another loss with bf16-full", function()
    local loss, exact = new_step "float32"
    local same, gradients = new_step "bf16"
    assert.equal(loss, same)
    local worst, differs = 0, 0
    for i, g in ipairs(gradients) do
      worst = math.max(worst, distance(g, exact[i]))
      if norm(g - exact[i]) > 0 then differs = differs + 1 end
    end
    assert.is_true(worst < 0.05, ("the worst gradient is %g off"):format(worst))
    assert.is_true(differs > 50)
    local other = new_step "bf16-full"
    assert.is_true(other ~= loss and math.abs(other - loss) < 0.1 * loss)
  end)

  it("has the same bits for any number of threads", function()
    local before, first = core.threads(), nil
    for _, threads in ipairs { 1, 2, 5 } do
      core.threads(threads)
      local loss, gradients = new_step "bf16-full"
      first = first or { loss, gradients }
      assert.equal(first[1], loss)
      for i, g in ipairs(gradients) do assert.equal(0, norm(g - first[2][i])) end
    end
    core.threads(before)
  end)
end)

describe("train.Loop with a precision", function()
  local function new_run(precision, callback)
    convlua.manual_seed(7)
    local model = nn.Sequential { nn.Conv2D { filter_shape = { 3, 3, 8, 16 }, padding = "same" },
      nn.Flatten {}, nn.Dense { input_size = 1024, output_size = 4 } }
    local batches = {}
    for i = 1, 4 do batches[i] = { convlua.randn { 16, 8, 8, 8 }, convlua.randint(1, 4, { 16 }) } end
    return train.Loop { training = batches, precision = precision, loss = nn.softmax_cross_entropy,
      optimizer = optim.SGD(model, { learning_rate = 0.05, momentum = 0.9 }), callbacks = { callback } }, model
  end

  --- The bits of the weights after two epochs.
  local function train_bits(precision, callback, resume)
    local loop, model = new_run(precision, callback)
    loop:fit(model, { epochs = 2, resume = resume })
    local bytes = {}
    for _, parameter in ipairs(model:parameters()) do bytes[#bytes + 1] = parameter:to_bytes() end
    return table.concat(bytes)
  end

  it("trains with it, and only inside of the fit", function()
    local seen
    local bits = train_bits("bf16", function() seen = autograd.precision() end)
    assert.equal("bf16", seen)
    assert.equal("float32", autograd.precision())
    assert.is_true(bits ~= train_bits "float32")
    assert.is_true(bits ~= train_bits "bf16-full")
    assert.is_true(bits == autograd.precision("bf16", train_bits))
    assert.is_true(train_bits() == train_bits "float32")
  end)

  it("goes on from a file with the same bits", function()
    local path = os.tmpname()
    local whole = train_bits "bf16-full"
    train_bits("bf16-full", function(loop, event)
      if event == "batch_end" and loop.step_count == 6 then
        loop:save_state(path, true)
        return train.cancel.fit
      end
    end)
    local resumed = train_bits("bf16-full", nil, path)
    os.remove(path)
    assert.is_true(whole == resumed)
  end)

  it("refuses a name that it does not know", function()
    assert.raises_like(function() train.Loop { training = {}, precision = "half" } end,
      "train.Loop: precision must be 'float32', 'bf16', 'bf16-full' or 'f16', got 'half'")
  end)
end)
