--- Ops at the sizes where kernels break: nothing, one, around a warp and around a block, more than one
-- block's share, and views of memory that is not dense. The data are small integers, so that sums are
-- exact in any order and the CPU and a device must agree in every bit; what is not exact (exp, softmax) may
-- differ by 2e-6. NVIDIA's libraries may multiply in other ways than by sums of products (Winograd's
-- convolution): where they are not simulated, matrix products and convolutions may differ by 2e-5.

local convlua = require "convlua"

local sizes = {}

local lengths = { 0, 1, 31, 32, 33, 255, 256, 257, 5000 }
local REAL = 2e-5 -- of what a library multiplied

local function integers(shape, dtype)
  convlua.manual_seed(#shape)
  local x = (convlua.rand(shape) * 7):floor() - 3
  return dtype and x:cast(dtype) or x
end

--- nil, or how they differ first.
local function difference(ours, theirs, allowed)
  local a, b = ours:detach():reshape(-1):to_table(), theirs:detach():to "cpu":reshape(-1):to_table()
  for i = 1, math.max(#a, #b) do
    local same = a[i] == b[i] or (a[i] ~= a[i] and b[i] ~= b[i])
    if not same and allowed and a[i] and b[i] then
      same = math.abs(a[i] - b[i]) <= allowed * math.max(1, math.abs(a[i]))
    end
    if not same then
      return ("element %d of %d is %s on the CPU, %s on the device"):format(i, #a, a[i], b[i])
    end
  end
end

--- f's result on a device, with the tensors that it was given there.
local function run(f, inputs, device, with_gradients)
  local list = {}
  for i, x in ipairs(inputs) do
    list[i] = (x * 1):detach():to(device)
    if with_gradients then list[i].requires_grad = true end
  end
  local ok, y = pcall(f, table.unpack(list))
  return ok, y, list
end

--- Checks all on a device.
--   exact: whether matrix products and convolutions must be, as on the simulator
--   tell(what, problem): of each comparison; problem is nil where both agree
function sizes.all(device, exact, tell)
  local multiplied = not exact and REAL or nil

  --- f takes tensors and returns one; gradients are compared too when asked for.
  local function check(what, f, inputs, allowed, with_gradients)
    convlua.scope(function()
      local ok, ours, our_leaves = run(f, inputs, "cpu", with_gradients)
      local same, theirs, their_leaves = run(f, inputs, device, with_gradients)
      if not ok or not same then -- refused by both is right: argmax of nothing
        return tell(what, ok ~= same and tostring(ok and theirs or ours) or nil)
      end
      tell(what, difference(ours, theirs, allowed))
      if not with_gradients then return end
      ours:sum():backward()
      theirs:sum():backward()
      for i, x in ipairs(our_leaves) do
        tell(("%s, gradient %d"):format(what, i), difference(x.grad, their_leaves[i].grad, allowed))
      end
    end)
  end

  for _, n in ipairs(lengths) do
    local x, y = integers { n }, integers { n }
    check("add " .. n, function(a, b) return a + b end, { x, y }, nil, true)
    check("relu " .. n, function(a) return a:relu() end, { x }, nil, true)
    check("exp " .. n, function(a) return a:exp() end, { x }, 2e-6)
    check("cumsum " .. n, function(a) return a:cumsum() end, { x })
    for _, reduce in ipairs { "sum", "max", "min", "argmax", "mean", "var", "prod", "logsumexp" } do
      local allowed = (reduce == "var" or reduce == "logsumexp" or reduce == "mean") and 2e-6 or nil
      check(reduce .. " of " .. n, function(a) return a[reduce](a) end, { x }, allowed)
      for _, m in ipairs { 1, 3, 40, 300 } do
        local matrix = n * m <= 200000 and integers { n, m }
        for axis = 1, matrix and 2 or 0 do
          check(("%s of {%d, %d}, axis %d"):format(reduce, n, m, axis),
            function(a) return a[reduce](a, { axis = axis }) end, { matrix }, allowed)
        end
      end
    end
    check("softmax of rows of " .. n, function(a) return a:softmax() end, { integers { 3, n } }, 2e-6)
    check("broadcast of a row of " .. n, function(a, b) return a * b end, { integers { 5, n }, x }, nil, true)
    check("broadcast of a column of " .. n, function(a, b) return a - b end,
      { integers { n, 5 }, integers { n, 1 } }, nil, true)
    check("a transposed view, " .. n, function(a) return a:transpose(1, 2) + 1 end, { integers { n, 6 } }, nil, true)
    check("every second element, " .. n, function(a) return a:slice(1, 1, n, 2) * 2 end, { x })
    check("copy of a view, " .. n, function(a) return a:transpose(1, 2):contiguous() end, { integers { 7, n } })
    check("to int32, " .. n, function(a) return a:cast "int32" end, { x })
    check("int64, " .. n, function(a) return a * a + 1 end, { integers({ n }, "int64") })
  end

  for _, s in ipairs { { 1, 1, 1 }, { 31, 33, 32 }, { 5, 257, 1 }, { 1, 3, 300 }, { 64, 65, 17 } } do
    local m, k, n = table.unpack(s)
    check(("matmul {%d, %d} {%d, %d}"):format(m, k, k, n), function(a, b) return a:matmul(b) end,
      { integers { m, k }, integers { k, n } }, multiplied, true)
    check(("matmul of views, %d %d %d"):format(m, k, n),
      function(a, b) return a:transpose(1, 2):matmul(b:transpose(1, 2)) end,
      { integers { k, m }, integers { n, k } }, multiplied, true)
  end

  for _, C in ipairs { 1, 3, 33 } do
    for _, size in ipairs { 1, 5, 17 } do
      local x = integers { 2, size, size + 1, C }
      local name = ("{2, %d, %d, %d}"):format(size, size + 1, C)
      for _, o in ipairs { { padding = "same" }, { padding = "same", strides = 2 }, { dilations = 2, padding = 2 } } do
        check("conv2d of " .. name, function(a, w) return a:conv2d(w, nil, o) end,
          { x, integers { 3, 3, C, 5 } }, multiplied, true)
      end
      check("depthwise conv2d of " .. name,
        function(a, w) return a:conv2d(w, nil, { padding = "same", groups = C }) end,
        { x, integers { 3, 3, 1, C } }, multiplied, true)
      for _, pool in ipairs { "max_pool2d", "avg_pool2d" } do
        check(pool .. " of " .. name,
          function(a) return a[pool](a, { pool_size = 2, strides = 2, padding = "same" }) end, { x },
          2e-6, pool == "avg_pool2d")
      end
      check("global_avg_pool of " .. name, function(a) return a:global_avg_pool() end, { x }, 2e-6, true)
    end
  end
end

return sizes
