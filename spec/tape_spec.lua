local convlua = require "convlua"
local tape = require("convlua.core").autograd
local command = require "spec.support.command"

local function leaf(values)
  local x = convlua.tensor(values, "float64")
  x.requires_grad = true
  return x
end

describe("backward", function()
  it("multiplies derivatives along the tape", function()
    local x = leaf { 1, 2, 3 }
    local y = (x * x * x):sum()
    y:backward()
    assert.are.same({ 3, 12, 27 }, x.grad:to_table())
  end)

  it("adds into .grad until it is cleared", function()
    local x = leaf { 1, 2 }
    x:sum():backward()
    x:sum():backward()
    assert.are.same({ 2, 2 }, x.grad:to_table())
    x.grad = nil
    x:sum():backward()
    assert.are.same({ 1, 1 }, x.grad:to_table())
  end)

  it("sums over every way from x to y", function()
    local x = leaf { 2 }
    local a = x * 3
    local y = a * a + a * x
    y:backward()
    assert.are.same({ 2 * 9 * 2 + 2 * 3 * 2 }, x.grad:to_table())
  end)

  it("undoes a broadcast", function()
    local x, row, one = leaf { { 1, 2, 3 }, { 4, 5, 6 } }, leaf { 1, 1, 1 }, leaf { { 2 }, { 3 } }
    local y = ((x + row) * one):sum()
    y:backward()
    assert.are.same({ 5, 5, 5 }, row.grad:to_table())
    assert.are.same({ { 9 }, { 18 } }, one.grad:to_table())
  end)

  it("starts from a gradient that fits", function()
    local x = leaf { 1, 2 }
    local y = x * 2
    assert.raises_like(function() y:backward() end, "backward starts from one number or needs a gradient; the tensor is {2}")
    assert.raises_like(function() y:backward(convlua.zeros(3)) end, "must be like the tensor, float64 {2}")
    y:backward(convlua.tensor({ 10, 1 }, "float64"))
    assert.are.same({ 20, 2 }, x.grad:to_table())
  end)

  it("frees the graph unless told to retain it", function()
    local x = leaf { 3 }
    local y = x * x
    y:backward({ retain_graph = true })
    y:backward()
    assert.are.same({ 12 }, x.grad:to_table())
    assert.raises_like(function() y:backward() end, "ask for retain_graph")
  end)

  it("is an error where nothing requires gradients", function()
    assert.raises_like(function() convlua.ones(1):backward() end, "does not depend on any that requires gradients")
    local x = leaf { 1 }
    local y = tape.no_grad(function() return x * 2 end)
    assert.is_false(y.requires_grad)
    assert.is_false((x:detach() * 2).requires_grad)
    assert.raises_like(function() tape.no_grad(function() error("oops") end) end, "oops")
    assert.is_true(tape.enabled())
  end)

  it("notices a change in place of what it needs", function()
    local x, w = leaf { 1, 2 }, convlua.tensor({ 3, 4 }, "float64")
    local y = (x * w):sum()
    w:fill_(0)
    assert.raises_like(function() y:backward() end, "input 2 of 'mul' was changed in place")
    assert.raises_like(function() x:fill_(0) end, "cannot be changed in place")
    tape.no_grad(function() x:fill_(0) end)
    assert.are.same({ 0, 0 }, x:to_table())
  end)

  it("refuses to make a result a leaf, or gradients for integers", function()
    local y = leaf { 1 } * 2
    assert.raises_like(function() y.requires_grad = false end, "this is the result of 'mul'")
    assert.raises_like(function() convlua.zeros { 1, dtype = "int32" }.requires_grad = true end, "only floating")
    assert.are.equal("mul", y.made_by)
  end)
end)

describe("grad", function()
  it("returns gradients without touching .grad, for leaves and results alike", function()
    local x = leaf { 1, 2 }
    local y = x * x
    local gx, gy = table.unpack(tape.grad(y:sum(), { x, y }))
    assert.are.same({ 2, 4 }, gx:to_table())
    assert.are.same({ 1, 1 }, gy:to_table())
    assert.is_nil(x.grad)
  end)

  it("tells a target that plays no part", function()
    local x, z = leaf { 1 }, leaf { 1 }
    assert.is_nil(tape.grad(x * 2, z))
    assert.raises_like(function() tape.grad(x * 2, convlua.zeros(1)) end, "target 1 does not require gradients")
  end)

  it("differentiates again with create_graph", function()
    local x = leaf { 2 }
    local first = tape.grad(x * x * x, x, { create_graph = true })
    assert.are.same({ 12 }, first:to_table())
    local second = tape.grad(first, x, { create_graph = true })
    assert.are.same({ 12 }, second:to_table())
    assert.are.same({ 6 }, tape.grad(second, x):to_table())
  end)
end)

describe("hooks", function()
  it("see the complete gradient and may replace it", function()
    local x, seen = leaf { 1, 2 }, nil
    local y = x * 3
    y:register_hook(function(g) seen = g:to_table() end)
    y:register_hook(function(g) return g * 10 end)
    local twice = (y + y):sum()
    twice:backward()
    assert.are.same({ 2, 2 }, seen)
    assert.are.same({ 60, 60 }, x.grad:to_table())
  end)

  it("that fail stop the walk with their own error, and nothing leaks", function()
    local function attempt()
      local x = leaf { 1, 2 }
      x:register_hook(function() error({ code = 7 }) end)
      local ok, e = pcall(function() (x * x):sum():backward() end)
      assert.is_false(ok)
      assert.are.equal(7, e.code)
    end
    attempt()
    collectgarbage()
    local before = convlua.memory.live()
    for _ = 1, 100 do attempt() end
    collectgarbage()
    collectgarbage()
    assert.is_true(convlua.memory.live() <= before)
  end)

  it("must give back the right shape", function()
    local x = leaf { 1, 2 }
    x:register_hook(function() return convlua.zeros(3) end)
    assert.raises_like(function() x:sum():backward() end, "hook: a gradient float64 {2} expected, got float32 {3}")
    assert.raises_like(function() convlua.zeros(1):register_hook(print) end, "requires gradients")
  end)
end)

describe("a recorded Lua function", function()
  it("stands on the tape like an op", function()
    local x = leaf { 1, 2 }
    local y = tape.no_grad(function() return x * x end)
    tape.record("square", { x }, y, function(gy) return gy * 2 * x:detach() end)
    local z = (y * 3):sum()
    z:backward()
    assert.are.same({ 6, 12 }, x.grad:to_table())
  end)

  it("is called with an error that reaches the caller", function()
    local x = leaf { 1 }
    local y = tape.no_grad(function() return x * 1 end)
    tape.record("bad", { x }, y, function() return "nothing" end)
    assert.raises_like(function() y:backward() end, "result 1: tensor or nil expected, got string")
  end)
end)

describe("a graph of a million nodes", function()
  it("is built, walked and freed on a stack of 256 KiB", function()
    local script = [[
      local convlua = require "convlua"
      local x = convlua.ones(1); x.requires_grad = true
      local function chain() local t = x for _ = 1, 1000000 do t = t + x end return t end
      local t = chain(); t:backward(); print(x.grad:item()); t = nil; collectgarbage()
      t = chain(); t = nil; collectgarbage() print(convlua.memory.live() < 1e5)
      chain() -- left to the end of the program
    ]]
    local run = command.run({ "-" }, { input = script, before = "ulimit -s 256;" })
    assert.are.equal("", run.err)
    assert.are.equal("1000001.0\ntrue\n", run.out)
    assert.are.equal(0, run.status)
  end)
end)
