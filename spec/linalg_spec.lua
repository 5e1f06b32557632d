-- convlua.linalg.

local convlua = require "convlua"
local eigh = convlua.linalg.eigh

describe("eigh", function()
  it("gives eigenvalues in ascending order and vectors of length 1 as columns", function()
    convlua.manual_seed(3)
    for _, n in ipairs { 1, 2, 3, 12, 40 } do
      local a = convlua.randn { n, n, dtype = "float64" }
      a = a + a:transpose()
      local values, vectors = eigh(a)
      assert.same({ { n }, { n, n } }, { values.shape, vectors.shape })
      assert.close(a:matmul(vectors), vectors * values, 1e-12)
      assert.close(vectors:transpose():matmul(vectors), convlua.eye(n, { dtype = "float64" }), 1e-12)
      for i = 2, n do assert.is_true(values[i]:item() >= values[i - 1]:item()) end
    end
  end)

  it("reads the lower triangle alone, of any strides and floating type", function()
    local values = eigh(convlua.tensor { { 2, 77 }, { 1, 2 } })
    assert.equal("float64", values.dtype)
    assert.close({ 1, 3 }, values, 1e-12)
    assert.close({ 1, 3 }, (eigh(convlua.tensor { { 2, 1 }, { 77, 2 } }:transpose())), 1e-12)
  end)

  it("takes an empty matrix", function()
    local values, vectors = eigh(convlua.zeros { 0, 0 })
    assert.same({ { 0 }, { 0, 0 } }, { values.shape, vectors.shape })
  end)

  it("says what it cannot take", function()
    assert.raises_like(function() eigh(convlua.zeros { 2, 3 }) end, "a square matrix expected, got {2, 3}")
    assert.raises_like(function() eigh(convlua.zeros { 4 }) end, "a square matrix expected, got {4}")
    assert.raises_like(function() eigh(convlua.eye(2, { dtype = "int64" })) end,
      "float32 or float64 expected, got int64")
    assert.raises_like(function() eigh(convlua.tensor { { 1, 0 }, { 0 / 0, 1 } }) end,
      "element {2, 1} is not finite")
    assert.raises_like(function() eigh(3) end, "convlua.tensor expected, got number")
  end)
end)
