--- The parts of bench.lua that measure neither kernels nor models.

local convlua = require "convlua"
local core = require "convlua.core"

return function(bench)
  local o, measure, note, line = bench.options, bench.measure, bench.note, bench.line
  local parts = {}

  --- The smallest of ops, the Lua call included: what a call costs beside its arithmetic.
  function parts.overhead()
    local calls = 1000
    local a, b = convlua.randn { 16 }, convlua.randn { 16 }
    local function add()
      for _ = 1, calls do
        local _ <close> = a + b
      end
    end
    for _, tape in ipairs { false, true } do
      a.requires_grad = tape
      local t = measure(add)
      t.seconds_per_call = t.median / calls
      local title = tape and "add of 16, with the tape" or "add of 16, without"
      note(title, t)
      line(title, "%8.3f us (%.3f to %.3f)", t.median / calls * 1e6, t.min / calls * 1e6,
        t.max / calls * 1e6)
    end
    bench.compare("1000 adds of 16, with the tape", "overhead", "-", 1, { overhead = add })
  end

  function parts.loader()
    for _, augment in ipairs { false, true } do
      local set = convlua.data.Shapes10 { batch_size = o.batch_size, augment = augment,
        training_count = 10000, validation_count = 10 }
      local epoch = 0
      local t = measure(function()
        epoch = epoch + 1
        set.training:start(epoch)
        while set.training:next() do end
      end)
      t.images_per_s = set.training:batches() * o.batch_size / t.median
      local name = augment and "loader, crop and flip" or "loader, plain"
      note(name, t)
      line(name, "%8.1f ms for 10,000  %7.0f img/s", t.median * 1e3, t.images_per_s)
    end
  end

  function parts.startup()
    local command = ("'%s' -e ''"):format(core.env.program())
    local t = measure(function() os.execute(command) end)
    note("startup", t)
    line("startup", "%8.1f ms (%.1f to %.1f)", t.median * 1e3, t.min * 1e3, t.max * 1e3)
  end

  return parts
end
