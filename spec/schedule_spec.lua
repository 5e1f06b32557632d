-- Learning rates over time, against numbers worked out by hand.

local schedule = require "convlua".schedule

-- The rates of `f` at the steps 0 .. steps - 1.
local function rates(f, steps)
  local list = {}
  for step = 0, steps - 1 do list[#list + 1] = f(step, steps) end
  return list
end

describe("schedule", function()
  it("constant stays", function()
    assert.same({ 0.1, 0.1 }, rates(schedule.constant(0.1), 2))
  end)

  it("step falls every so many steps, or every such share of them", function()
    assert.close({ 1, 1, 0.5, 0.5, 0.25 }, rates(schedule.step { start = 1, factor = 0.5, every = 2 }, 5))
    assert.close({ 1, 1, 0.1, 0.1 }, rates(schedule.step { start = 1, every = 0.5 }, 4))
  end)

  it("multi_step falls at its places", function()
    local f = schedule.multi_step { start = 1, factor = 0.1, at = { 2, 0.75 } }
    assert.close({ 1, 1, 0.1, 0.01 }, rates(f, 4))
  end)

  it("exponential is a power of the step", function()
    assert.close({ 2, 1, 0.5 }, rates(schedule.exponential { start = 2, factor = 0.5 }, 3))
    assert.close(1, schedule.exponential { start = 2, factor = 0.5, every = 10 }(10, 100))
  end)

  it("polynomial of power 1 is a straight line", function()
    local f = schedule.polynomial { start = 1, finish = 0.2 }
    assert.close({ 1, 0.8, 0.6, 0.4 }, rates(f, 4))
    assert.close(0.25, schedule.polynomial { start = 1, power = 2 }(2, 4))
  end)

  it("cosine is half a wave, begun anew at restarts", function()
    local f = schedule.cosine { start = 1 }
    assert.close({ 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2 }, rates(f, 4))
    local g = schedule.cosine { start = 1, finish = 0.5, restarts = 1 }
    assert.close({ 1, 0.75, 1, 0.75 }, rates(g, 4))
  end)

  it("one_cycle rises in the first 30 % and falls to nothing", function()
    local f = schedule.one_cycle { start = 0.1, peak = 0.4 }
    assert.close({ 0.1, 0.2, 0.3, 0.4 }, { f(0, 10), f(1, 10), f(2, 10), f(3, 10) })
    assert.close({ 0.2, 0 }, { f(6.5, 10), f(10, 10) })
  end)

  it("warm_up comes before another schedule, which has the rest to itself", function()
    local f = schedule.warm_up { steps = 2, schedule.polynomial { start = 1 } }
    assert.close({ 0, 0.5, 1, 0.75, 0.5, 0.25 }, rates(f, 6))
  end)

  it("segments follow each other", function()
    local f = schedule.segments {
      { start = 0, finish = 1, steps = 2 }, { shape = "constant", steps = 2 },
      { shape = "cosine", finish = 0 },
    }
    assert.close({ 0, 0.5, 1, 1, 1, 0.5 }, rates(f, 6))
    assert.close(0, f(6, 6))
  end)

  it("says what is wrong with its options", function()
    for _, case in ipairs {
      { function() schedule.step { start = 1 } end, "step: option 'every' is missing" },
      { function() schedule.cosine { start = 1, end_ = 0 } end,
        "cosine: unknown option 'end_'; there are finish, restarts, start" },
      { function() schedule.cosine { start = 1, finish = "0" } end, "'finish' must be a number" },
      { function() schedule.warm_up { steps = 3 } end, "a schedule expected" },
      { function() schedule.segments { { finish = 1 } } end, "piece 1: 'start' is missing" },
      { function() schedule.segments { { start = 1, shape = "round" } } end, "unknown shape 'round'" },
      { function() schedule.constant "fast" end, "a number expected, got string" },
    } do
      assert.raises_like(case[1], case[2])
    end
  end)
end)
