local convlua = require "convlua"
local memory = convlua.memory

describe("a scope", function()
  it("frees what was made inside when it ends", function()
    local inside
    convlua.scope(function() inside = convlua.zeros(1000) end)
    assert.raises_like(function() inside:sum() end, "freed, by free() or at the end of its scope")
  end)

  it("lets results live, also in tables", function()
    local x, list = convlua.scope(function()
      local a = convlua.ones(2)
      return a + 1, { { convlua.zeros(3) } }
    end)
    assert.are.same({ 2, 2 }, x:to_table())
    assert.are.same({ 0, 0, 0 }, list[1][1]:to_table())
  end)

  it("passes its arguments on and its results back", function()
    assert.are.same({ 3, "x", nil }, { convlua.scope(function(a, b) return a + b, "x", nil end, 1, 2) })
  end)

  it("hands results to the scope around it", function()
    local kept, lost
    convlua.scope(function()
      lost = convlua.scope(function() return convlua.ones(1) end)
      assert.are.equal(1, lost:item())
      kept = convlua.keep(convlua.ones(1))
    end)
    assert.raises_like(function() lost:item() end, "freed")
    assert.are.equal(1, kept:item())
  end)

  it("ends with an error too", function()
    local inside
    assert.raises_like(function()
      convlua.scope(function()
        inside = convlua.zeros(1)
        error("oops")
      end)
    end, "oops")
    assert.raises_like(function() inside:item() end, "freed")
    assert.raises_like(function() convlua.scope(1) end, "attempt to call")
  end)

  it("keeps live bytes level over many steps without the collector", function()
    local w = convlua.randn { 64, 64, requires_grad = true }
    local function step()
      w.grad = nil
      local y = w
      for _ = 1, 10 do y = y * 0.5 + w end
      y:sum():backward()
    end
    for _ = 1, 3 do convlua.scope(step) end
    collectgarbage()
    collectgarbage("stop")
    local before = memory.live()
    for _ = 1, 50 do convlua.scope(step) end
    collectgarbage("restart")
    assert.is_true(memory.live() <= before + 1000)
  end)

  it("leaves what belongs to a scope further out to that one", function()
    convlua.scope(function()
      local x = convlua.ones { 3 }
      convlua.scope(function() convlua.scope(function() return { x } end) end)
      assert.are.equal(3, x:sum():item())
    end)
  end)

  it("nests at most 64 deep", function()
    local function deeper() return convlua.scope(deeper) end
    assert.raises_like(deeper, "nested too deeply")
    assert.are.equal(1, convlua.scope(function() return 1 end))
  end)
end)

describe("the collector", function()
  it("follows the megabytes behind small handles", function()
    memory.reset_peak()
    local before = memory.live()
    for _ = 1, 400 do convlua.zeros(1 << 20) end -- 4 MiB each, 1.6 GiB together
    assert.is_true(memory.peak() - before < 400e6)
  end)
end)

describe("a limit of memory", function()
  it("makes an error that tells the figures, and the session goes on", function()
    collectgarbage()
    memory.limit(memory.live() + (8 << 20))
    local ok, message = pcall(convlua.zeros, 16 << 20)
    memory.limit(0)
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find("out of memory: asked 67108864 bytes, live %d+, cached %d+"))
    assert.are.equal(1 << 20, convlua.zeros(1 << 20):numel())
  end)
end)
