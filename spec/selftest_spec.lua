-- `convlua selftest`: that it finds what is wrong, and that what it finds here is nothing. On a simulated
-- GPU it runs in make cuda-test.

local convlua = require "convlua"
local command = require "spec.support.command"
local samples = require "convlua.selftest.samples"
local sizes = require "convlua.selftest.sizes"

local here = { name = "in float64", device = "cpu", dtype = "float64" }
local there = { name = "on cpu", device = "cpu" }

describe("convlua selftest", function()
  it("finds all right here", function()
    local r = command.run { "selftest", "--small", "--no-rates" }
    assert.equal("", r.err)
    assert.equal(0, r.status)
    local good, all = r.out:match "\n(%d+) of (%d+)\n$"
    assert.equal(all, good)
    assert.is_true(tonumber(all) > 200)
    assert.matches("\nconvolution +%d+ of %d+\n", r.out)
  end)

  it("tells in one sentence that a device cannot be had", function()
    local r = command.run({ "selftest", "cuda" }, { before = "CONVLUA_CUDA_PLUGIN=/nowhere.so" })
    assert.equal(1, r.status)
    assert.matches("device 'cuda:0' is not available: ", r.err, 1, true)
  end)

  it("refuses other words", function()
    local r = command.run { "selftest", "gpu" }
    assert.equal(2, r.status)
    assert.matches("'gpu' is no device and no option\nusage: convlua selftest", r.err, 1, true)
  end)
end)

describe("samples", function()
  local function check_with(f, dtype)
    convlua.wrong = f
    local problem = samples.check("wrong(randn{3})", dtype or "float32", here, there)
    convlua.wrong = nil
    return problem
  end

  it("agree when both places compute the same", function()
    assert.is_nil(check_with(function(x) return x * 2 end))
    assert.is_nil(check_with(function(x) return x * 2 end, "bfloat16"))
  end)

  it("show another result", function()
    assert.matches("the result: element 1 is [%d.-]+ in float64 and [%d.-]+ on cpu",
      check_with(function(x) return x.dtype == "float32" and x * 1.001 or x * 1 end))
  end)

  it("show another gradient", function()
    assert.matches("the gradient 1: element 1 is", check_with(function(x)
      return x.dtype == "float32" and x + (x * 0.001 - (x * 0.001):detach()) or x * 1
    end))
  end)

  it("show another shape, and an error on one side", function()
    assert.equal("the result has another shape",
      check_with(function(x) return x.dtype == "float32" and x:reshape(3, 1) or x end))
    assert.matches("boom", check_with(function(x) return x.dtype == "float32" and error "boom" or x end))
    assert.matches("refused in float64: ",
      check_with(function(x) return x.dtype == "float64" and error "boom" or x end))
  end)
end)

describe("sizes", function()
  it("agree with themselves in every bit", function()
    local done = 0
    sizes.all("cpu", true, function(what, problem)
      done = done + 1
      assert.is_nil(problem and what .. problem)
    end)
    assert.is_true(done > 900)
  end)
end)

describe("device.info and device.tf32", function()
  it("know only the name of the CPU, and that it has no TF32", function()
    assert.same({ device = "cpu" }, convlua.device.info "cpu")
    assert.error_matches(function() convlua.device.tf32 "cpu" end, "device 'cpu' has no TF32")
  end)
end)
