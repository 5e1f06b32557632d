-- Results have the same bits for any number of threads: work is cut by the size of the problem.

local convlua = require "convlua"

local function leaf(...)
  local x = convlua.randn { ... }
  x.requires_grad = true
  return x
end

-- name -> function that returns tensors; large enough to be cut into several pieces
local work = {
  ["random numbers"] = function()
    return convlua.randn { 100000 }, convlua.rand { 33333 }, convlua.randint(1, 10, { 50000 })
  end,
  ["elementwise ops and broadcasting"] = function()
    return (convlua.randn { 300, 200 } * convlua.randn { 200 }):exp():gelu()
  end,
  ["sums over every choice of axes"] = function()
    local x = convlua.randn { 40, 50, 60 }
    return x:sum(), x:sum(1), x:sum(2), x:sum(3), x:sum { 1, 2 }, x:sum { 2, 3 },
      x:permute { 3, 1, 2 }:sum { 1, 2 }
  end,
  ["mean, variance, largest"] = function()
    local x = convlua.randn { 500, 300 }
    return x:mean(1), x:var(2), x:max(1), x:argmax(2), x:logsumexp(2)
  end,
  ["softmax and cross-entropy"] = function()
    local x = leaf(512, 100)
    local labels = convlua.randint(1, 100, { 512 })
    local loss = convlua.softmax_cross_entropy(x, labels)
    loss:backward()
    return x:softmax(2), loss, x.grad
  end,
  ["matrix products in float32"] = function()
    local a, b = leaf(200, 300), leaf(300, 170)
    local y = convlua.matmul(a, b)
    y:sum():backward()
    return y, a.grad, b.grad
  end,
  ["matrix products of few blocks of rows"] = function()
    local a, b = convlua.randn { 700, 250 }, convlua.randn { 700, 190 }
    local few = a:slice(2, 1, 64)
    return a:transpose():matmul(a), a:transpose():matmul(b), b:transpose():contiguous():matmul(a),
      few:transpose():matmul(a:slice(2, 1, 192)), few:transpose():matmul(b)
  end,
  ["a dense layer of one row"] = function()
    local dense = convlua.nn.Dense{ input_size = 784, output_size = 256, activation = "relu" }
    local x = leaf(1, 784)
    local y = dense(x)
    y:sum():backward()
    return y, x.grad, dense.weight.grad
  end,
  ["matrix products in float64"] = function()
    local options = { dtype = "float64" }
    return convlua.matmul(convlua.randn({ 200, 300 }, options), convlua.randn({ 300, 170 }, options))
  end,
  ["a loop that outlasts the time a worker keeps its core"] = function()
    local x = convlua.randn({ 400, 400 }, { dtype = "float64" })
    return x:matmul(x):matmul(x)
  end,
  ["a convolution and its gradients"] = function()
    local x, w, b = leaf(8, 17, 19, 16), leaf(3, 3, 16, 24), leaf(24)
    local y = convlua.conv2d(x, w, b, { padding = "same" })
    y:square():sum():backward()
    return y, x.grad, w.grad, b.grad
  end,
  ["a strided convolution and its gradients"] = function()
    local x, w = leaf(8, 17, 19, 3), leaf(7, 7, 3, 24)
    local y = convlua.conv2d(x, w, nil, { padding = "same", strides = 2 })
    y:square():sum():backward()
    return y, x.grad, w.grad
  end,
  ["pooling and its gradients"] = function()
    local x = leaf(16, 30, 30, 8)
    local y = convlua.max_pool2d(x, { pool_size = 3, strides = 2 })
    local z = convlua.avg_pool2d(x, { pool_size = 2 })
    local loss = y:sum() + z:square():sum()
    loss:backward()
    return y, z, x.grad
  end,
  ["batch normalization and its gradients"] = function()
    local x, scale, offset = leaf(32, 14, 14, 24), leaf(24), leaf(24)
    local mean, variance = convlua.zeros { 24 }, convlua.ones { 24 }
    local y = convlua.batch_norm(x, scale, offset, mean, variance, nil,
      { training = true, activation = "relu" })
    y:square():sum():backward()
    return y, mean, variance, x.grad, scale.grad, offset.grad
  end,
  ["dropout"] = function()
    return convlua.dropout(convlua.ones { 100000 }, { rate = 0.3, training = true })
  end,
  ["indexing and its gradients"] = function()
    local x = leaf(400, 120)
    local y = x:index_select(convlua.randint(1, 400, { 900 }), 1)
    y:square():sum():backward()
    return y, x.grad
  end,
}

local names = {}
for name in pairs(work) do names[#names + 1] = name end
table.sort(names)

local function bytes(name, threads)
  convlua.threads(threads)
  convlua.manual_seed(7)
  local results = table.pack(work[name]())
  for i = 1, results.n do results[i] = results[i]:to_bytes() end
  return results
end

describe("with any number of threads", function()
  local usual = convlua.threads()
  after_each(function() convlua.threads(usual) end)

  for _, name in ipairs(names) do
    it("the bits are those of one thread: " .. name, function()
      local one = bytes(name, 1)
      for _, threads in ipairs { 2, 3, 4 } do
        local many = bytes(name, threads)
        for i = 1, one.n do
          assert(one[i] == many[i], ("result %d differs with %d threads"):format(i, threads))
        end
      end
    end)
  end

  it("a thread count out of range is refused", function()
    assert.raises_like(function() convlua.threads(0) end, "1 to 256")
    assert.raises_like(function() convlua.threads(1000) end, "1 to 256")
  end)
end)
