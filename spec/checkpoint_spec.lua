-- Weights to files and back.

local convlua = require "convlua"
local nn = convlua.nn

local function block()
  return nn.Sequential {
    { conv = nn.Conv2D { filter_shape = { 3, 3, 1, 2 } } },
    { norm = nn.BatchNorm { feature_count = 2 } },
    nn.Flatten {},
    { head = nn.Dense { input_size = 8, output_size = 3 } },
  }
end

local function with_file(f)
  local path = os.tmpname() .. ".npz"
  local ok, problem = pcall(f, path)
  os.remove(path)
  if not ok then error(problem, 0) end
end

local x = convlua.randn { 2, 4, 4, 1 }

describe("a checkpoint", function()
  it("brings back weights and running statistics", function()
    with_file(function(path)
      local model, other = block(), block()
      model(x) -- moves the running statistics
      model:eval():write_checkpoint(path)
      other:eval():read_checkpoint(path)
      assert.equal(model(x):to_bytes(), other(x):to_bytes())
      assert.equal(model.norm.running_mean:to_bytes(), other.norm.running_mean:to_bytes())
    end)
  end)

  it("names every array by its path", function()
    with_file(function(path)
      block():write_checkpoint(path)
      local names = {}
      for name in pairs(convlua.io.load_npz(path)) do names[#names + 1] = name end
      table.sort(names)
      assert.same({ "conv.bias", "conv.filter", "head.bias", "head.weight", "norm.offset",
        "norm.running_mean", "norm.running_var", "norm.scale" }, names)
    end)
  end)

  it("fits one of another floating type", function()
    with_file(function(path)
      local model = block()
      model:write_checkpoint(path)
      local double = block():to "float64":read_checkpoint(path)
      assert.equal("float64", double.head.weight.dtype)
      assert.close(double.head.weight, model.head.weight)
    end)
  end)

  it("that does not fit is told whole and changes nothing", function()
    with_file(function(path)
      block():write_checkpoint(path)
      local other = nn.Sequential {
        { conv = nn.Conv2D { filter_shape = { 3, 3, 1, 4 } } },
        { head = nn.Dense { input_size = 8, output_size = 3 } },
        { tail = nn.Dense { input_size = 3, output_size = 3, use_bias = false } },
      }
      local before = other.head.weight:to_bytes()
      local ok, problem = pcall(other.read_checkpoint, other, path)
      assert.is_false(ok)
      for _, part in ipairs {
        "'" .. path .. "' does not fit the model; nothing was loaded",
        "missing in the file (1):\n    tail.weight",
        "unexpected in the file (4):\n    norm.offset",
        "conv.filter: {3, 3, 1, 4} in the model, {3, 3, 1, 2} in the file",
      } do
        assert.truthy(problem:find(part, 1, true), problem)
      end
      assert.equal(before, other.head.weight:to_bytes())
    end)
  end)

  it("may hold arrays of others, with names that start with __", function()
    local model, other = block(), block()
    local state = model:state()
    state.__state__ = convlua.zeros { 3 }
    other:load_state(state)
    assert.equal(model.head.weight:to_bytes(), other.head.weight:to_bytes())
  end)

  it("that is not there is an error with its name", function()
    assert.raises_like(function() block():read_checkpoint "no/such/file.npz" end,
      "no/such/file.npz")
  end)

  it("of a lone layer works too", function()
    with_file(function(path)
      local a = nn.Dense { input_size = 2, output_size = 2 }
      local b = nn.Dense { input_size = 2, output_size = 2 }
      a:write_checkpoint(path)
      b:read_checkpoint(path)
      assert.equal(a.weight:to_bytes(), b.weight:to_bytes())
    end)
  end)
end)
