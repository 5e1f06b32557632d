-- The CPU engine: each algorithm of convolution under each instruction set of this machine, against
-- double precision. The choice between them is an environment variable read by the engine.

local convlua = require "convlua"
local command = require "spec.support.command"

local function run(script, isa, algorithm)
  return command.run({ "spec/support/" .. script .. ".lua" },
    { before = ("CONVLUA_ISA=%s CONVLUA_CONV=%s"):format(isa, algorithm) })
end

local function check(isa, algorithm)
  local r = run("conv_error", isa, algorithm)
  if r.err:find "this CPU has no" then return nil end
  assert.equal("", r.err)
  local found = {}
  for case, worst, same in r.out:gmatch "(%d+)\t(%S+)\t(%a+)" do
    found[tonumber(case)] = { error = tonumber(worst), same = same == "true" }
  end
  return found
end

describe("the CPU engine", function()
  for _, isa in ipairs { "baseline", "avx2", "avx512" } do
    for _, setting in ipairs { { "direct", 1e-6 }, { "dots", 1e-6 }, { "gemm", 1e-6 }, { "winograd", 3e-6 },
      { "grouped", 1e-6 }, { "lines", 1e-6 }, { "subpixel", 1e-6 }, { "chosen", 3e-6 } } do
      local algorithm, tolerance = setting[1], setting[2]
      it(("convolves to %g with %s, %s"):format(tolerance, isa, algorithm), function()
        local found = check(isa, algorithm ~= "chosen" and algorithm or "")
        if not found then return pending("this CPU has no " .. isa) end
        assert.is_true(#found > 0)
        for case, result in ipairs(found) do
          assert.is_true(result.error <= tolerance, ("case %d: error %g"):format(case, result.error))
          assert.is_true(result.same, ("case %d: the bits depend on the threads"):format(case))
        end
      end)
    end
  end

  for _, isa in ipairs { "baseline", "avx2", "avx512" } do
    it("convolves, rectifies and pools in one pass to 1e-5 with " .. isa, function()
      local r, cases = run("conv_pool_error", isa, "direct"), 0
      if r.err:find "this CPU has no" then return pending("this CPU has no " .. isa) end
      assert.equal("", r.err)
      for case, worst, same in r.out:gmatch "([^\t\n]+)\t(%S+)\t(%a+)" do
        cases = cases + 1
        assert.is_true(tonumber(worst) <= 1e-5, ("case %s: error %s"):format(case, worst))
        assert.equal("true", same, ("case %s: the bits depend on the threads"):format(case))
      end
      assert.equal(26, cases)
    end)
  end

  it("loses no more digits in long sums than in short ones", function()
    local function error_of(channels)
      local x, w = convlua.rand { 2, 8, 8, channels } * 2 - 1, convlua.rand { 3, 3, channels, 64 } * 2 - 1
      local y = convlua.conv2d(x, w, nil, { strides = 3 })
      local exact = convlua.conv2d(x:cast "float64", w:cast "float64", nil, { strides = 3 })
      local off = y:cast "float64" - exact
      return ((off * off):sum():item() / (exact * exact):sum():item()) ^ 0.5
    end
    convlua.manual_seed(4)
    assert.is_true(error_of(64) <= 5e-7)
    assert.is_true(error_of(2048) <= 5e-7)
  end)

  it("refuses an instruction set that it does not know", function()
    local r = command.run({ "-e", "" }, { before = "CONVLUA_ISA=sse9" })
    assert.matches("unknown instruction set 'sse9'", r.err, 1, true)
    assert.is_true(r.status ~= 0)
  end)
end)
