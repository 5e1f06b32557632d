-- Gradients from Lua: functions with a backward of their own, and the checks of gradients.
-- The operations' own gradients are checked in ops_spec.lua.

local convlua = require "convlua"
local autograd = convlua.autograd

local function double(shape)
  return convlua.randn(shape, { dtype = "float64", requires_grad = true })
end

local function cube_of(scale)
  return autograd.Function {
    name = "cube",
    forward = function(ctx, x)
      ctx:save(x)
      return x * x * x
    end,
    backward = function(ctx, gy)
      local x = ctx:saved()
      return gy * x * x * scale
    end,
  }
end

describe("backward", function()
  it("adds to .grad and goes through shared parts once each", function()
    local x = convlua.tensor({ 2, 3 }, { requires_grad = true })
    local square = x * x
    local cube = square * x
    local sum = square + cube
    sum:sum():backward()
    assert.close(x.grad, { 2 * 2 + 3 * 4, 2 * 3 + 3 * 9 })
    sum = x * 2
    sum:sum():backward()
    assert.close(x.grad, { 18, 35 })
  end)

  it("needs a gradient for more than one number", function()
    local x = convlua.tensor({ 2, 3 }, { requires_grad = true })
    local y = x * 2
    assert.has_error(function() y:backward() end)
    y:backward(convlua.tensor { 1, 10 })
    assert.close(x.grad, { 2, 20 })
  end)

  it("goes through a chain of 100,000 operations", function()
    local x = convlua.tensor({ 1 }, { requires_grad = true })
    local y = x
    for _ = 1, 100000 do y = y + 1 end
    y:sum():backward()
    assert.close(x.grad, { 1 })
  end)

  it("stops at detach and inside no_grad", function()
    local x = convlua.tensor({ 2 }, { requires_grad = true })
    assert.is_false((x * 2):detach().requires_grad)
    assert.is_false(convlua.no_grad(function() return x * 2 end).requires_grad)
    assert.is_true(convlua.no_grad(function()
      return convlua.with_grad(function() return x * 2 end)
    end).requires_grad)
  end)

  it("lets a hook see and replace a gradient", function()
    local x = convlua.tensor({ 2 }, { requires_grad = true })
    local y, seen = x * 3, nil
    y:register_hook(function(g)
      seen = g:item()
      return g * 10
    end)
    y:sum():backward()
    assert.equal(1, seen)
    assert.close(x.grad, { 30 })
  end)
end)

describe("autograd.grad", function()
  it("gives gradients without touching .grad", function()
    local a, b = double { 2 }, double { 2 }
    local ga, gb = table.unpack(autograd.grad((a * b):sum(), { a, b }))
    assert.close(ga, b)
    assert.close(gb, a)
    assert.is_nil(a.grad)
  end)

  it("gives false for what is not involved", function()
    local a, b = double { 2 }, double { 2 }
    assert.is_false(autograd.grad(a:sum(), { a, b })[2])
  end)

  it("goes to any order", function()
    local x = convlua.tensor({ 2 }, { dtype = "float64", requires_grad = true })
    local first = autograd.grad((x * x * x):sum(), x, { create_graph = true })
    local second = autograd.grad(first:sum(), x, { create_graph = true })
    local third = autograd.grad(second:sum(), x)
    assert.close(first, { 12 })
    assert.close(second, { 12 })
    assert.close(third, { 6 })
  end)
end)

describe("autograd.Function", function()
  it("has the gradient its backward gives", function()
    local x = convlua.tensor({ 2 }, { requires_grad = true })
    local y = cube_of(3)(x)
    assert.close(y, { 8 })
    y:sum():backward()
    assert.close(x.grad, { 12 })
    assert.is_true(autograd.gradcheck(cube_of(3), { double { 2, 3 } }))
  end)

  it("can be differentiated twice when backward is made of operations", function()
    assert.is_true(autograd.gradgradcheck(cube_of(3), { double { 3 } }))
  end)

  it("takes arguments that are no tensors, and inputs without gradients", function()
    local scale = autograd.Function {
      forward = function(ctx, factor, x, y)
        ctx.factor = factor
        return x * factor + y
      end,
      backward = function(ctx, gy) return nil, gy * ctx.factor, gy end,
    }
    local x, y = double { 2 }, double { 2 }
    assert.is_true(autograd.gradcheck(scale, { 3, x, y }))
    scale(3, x:detach(), y):sum():backward()
    assert.close(y.grad, { 1, 1 })
    assert.is_false(scale(3, x:detach(), y:detach()).requires_grad)
  end)

  it("may hand its input on", function()
    local flip = autograd.Function {
      forward = function(_, x) return x end,
      backward = function(_, gy) return -gy end,
    }
    local x = convlua.tensor({ 2 }, { requires_grad = true })
    flip(x):sum():backward()
    assert.close(x.grad, { -1 })
    assert.is_true(x.is_leaf)
  end)

  it("says what it wants", function()
    assert.raises_like(function() autograd.Function {} end,
      "{ forward = function(ctx, ...), backward = function(ctx, gy) } expected")
    assert.raises_like(function()
      autograd.Function {
        name = "no_tensor", forward = function() return 1 end, backward = function() end,
      }(double { 1 })
    end, "no_tensor: forward must return a tensor, got number")
    assert.raises_like(function()
      autograd.Function {
        forward = function(_, x) return x * 1 end,
        backward = function(ctx) return ctx:saved() end,
      }(double { 1 }):sum():backward()
    end, "forward did not ctx:save(...) anything")
  end)

  it("hands an error of backward on", function()
    local x = double { 1 }
    local y = autograd.Function {
      forward = function(_, t) return t * 1 end,
      backward = function() error "no way back" end,
    }(x)
    assert.raises_like(function() y:sum():backward() end, "no way back")
  end)
end)

describe("gradcheck", function()
  it("accepts a right gradient", function()
    assert.is_true(autograd.gradcheck(function(a, b) return (a * b):exp() end,
      { double { 2, 3 }, double { 3 } }))
    assert.is_true(autograd.gradcheck(function(a) return a * a, { a:sum() } end, double { 2 }))
    assert.is_true(autograd.gradcheck(function(a) return a:exp() end, double {}))
  end)

  it("names input, element and both values of a wrong one", function()
    local wrong = cube_of(2)
    local ok, problem = pcall(autograd.gradcheck, function(_, b) return wrong(b) end,
      { 7, convlua.tensor({ { 1, 2 } }, { dtype = "float64", requires_grad = true }) })
    assert.is_false(ok)
    assert.truthy(problem:find "input 2, element {1, 1}: gradient [-%d.]+, by differences", problem)
  end)

  it("finds what goes wrong only with gaps in memory", function()
    local careless = autograd.Function {
      forward = function(ctx, x)
        ctx.factor = x:is_contiguous() and 2 or 3
        return x * 2
      end,
      backward = function(ctx, gy) return gy * ctx.factor end,
    }
    assert.is_true(autograd.gradcheck(careless, { double { 2 } }, { gaps = false }))
    assert.raises_like(function() autograd.gradcheck(careless, { double { 2 } }) end,
      "input 1 (with gaps in its memory), element {1}")
  end)

  it("refuses what it cannot judge", function()
    local function f(x) return x * 2 end
    assert.raises_like(function() autograd.gradcheck(f, { convlua.zeros({ 2 },
      { requires_grad = true }) }) end, "input 1 is float32; float64 is needed")
    assert.raises_like(function() autograd.gradcheck(f, { double { 2 }:detach() }) end,
      "no input requires gradients")
    assert.raises_like(function()
      autograd.gradcheck(function(x) return x * convlua.rand({ 2 }, { dtype = "float64" }) end,
        { double { 2 } })
    end, "two calls with the same inputs differ")
    assert.raises_like(function() autograd.gradcheck(f, { double { 2 } }, { epsilon = 1 }) end,
      "unknown option 'epsilon'; there are atol, eps, gaps, rtol")
  end)

  it("leaves inputs and their gradients as they were", function()
    local x = double { 3 }
    local before = x:to_bytes()
    autograd.gradcheck(function(a) return a * a end, x)
    assert.equal(before, x:to_bytes())
    assert.is_nil(x.grad)
  end)
end)

describe("tensors' methods in Lua", function()
  it("change a tensor in place", function()
    local x = convlua.tensor { 1, 2 }
    assert.is_true(x:add_(1):mul_(convlua.tensor { 2, 3 }):sub_(1):div_(2):is_same(x))
    assert.close(x, { 1.5, 4 })
  end)

  it("do not change what the tape needs", function()
    local x = double { 2 }
    assert.raises_like(function() x:add_(1) end, "requires gradients")
    convlua.no_grad(function() x:add_(1) end)
  end)

  it("split and chunk", function()
    local x = convlua.arange(1, 5)
    local function values(parts)
      local list = {}
      for i, part in ipairs(parts) do list[i] = part:to_table() end
      return list
    end
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } }, values(x:split(2)))
    assert.same({ { 1 }, { 2, 3, 4, 5 } }, values(x:split({ 1, 4 }, -1)))
    assert.same({ { 1, 2, 3 }, { 4, 5 } }, values(x:chunk(2)))
    assert.raises_like(function() x:split { 1, 2 } end, "lengths with sum 5 expected, got 3")
    assert.raises_like(function() x:split(0) end, "a positive integer or a list of them expected")
    assert.raises_like(function() x:chunk(0) end, "a positive integer expected, got 0")
  end)
end)
