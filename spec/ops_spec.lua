-- Every op of the core, by loops over its descriptor: it is described, its samples run, float32
-- agrees with float64, gradients agree with differences, the second derivative too, and every wrong
-- call gives its error. A new op is covered when it has samples.

local convlua = require "convlua"
local grad = require("convlua.core").autograd.grad

local step = 1e-5      -- of central differences in float64: errors of about 1e-9
local tolerance = 2e-6 -- for them, relative to the larger of 1 and the gradient

-- What a sample may call: the module's functions and the ops that users do not see.
local visible = setmetatable({}, { __index = convlua })
for _, op in ipairs(convlua.ops()) do visible[op.name] = op.call end

-- The sample as a function of its random tensors: run(leaves) gives y. Leaves are made, of type
-- `dtype`, where the list has none yet.
local function compile(sample, dtype)
  local leaves, used
  local environment = setmetatable({}, { __index = visible })
  for _, name in ipairs { "rand", "randn" } do
    environment[name] = function(...)
      used = used + 1
      if not leaves[used] then
        local x = convlua[name](...):cast(dtype)
        x.requires_grad = true
        leaves[used] = x
      end
      return leaves[used]
    end
  end
  local chunk = assert(load("return " .. sample, "=" .. sample, "t", environment))
  return function(given)
    leaves, used = given, 0
    convlua.manual_seed(7) -- what the op draws itself repeats
    return chunk()
  end
end

-- Copies of the leaves in another type, apart from the tape. Batch statistics are updated in place,
-- so that each run gets its own.
local function copies(leaves, dtype)
  local list = {}
  for i, x in ipairs(leaves) do
    list[i] = x:detach():cast(dtype):clone()
    list[i].requires_grad = true
  end
  return list
end

local function floating(x) return x.dtype == "float32" or x.dtype == "float64" end

-- A fixed, uneven weight for each element of y, so that the gradient of sum(y * weights) sees them all.
local function weights(y)
  local n, list = y:numel(), {}
  for i = 1, n do list[i] = math.sin(i * 1.7) + 1.3 end
  return convlua.tensor(list, { dtype = y.dtype }):reshape(y.shape)
end

local function weighted(y) return (y * weights(y)):sum() end

-- d f / d leaf by central differences, as a flat table; f takes the leaves and gives a number.
local function differences(f, leaves, which)
  local x, result = leaves[which]:detach(), {}
  local flat = x:reshape(-1):to_table()
  for i = 1, #flat do
    local value = {}
    for k, sign in ipairs { 1, -1 } do
      local moved = table.move(flat, 1, #flat, 1, {})
      moved[i] = moved[i] + sign * step
      local list = copies(leaves, "float64")
      list[which] = convlua.tensor(moved, { dtype = "float64" }):reshape(x.shape)
      list[which].requires_grad = true
      value[k] = f(list)
    end
    result[i] = (value[1] - value[2]) / (2 * step)
  end
  return result
end

local function flat(x) return x:detach():reshape(-1):to_table() end

-- The gradients of sum(y * weights), one per leaf, false where y does not depend on it.
local function gradients(run, leaves, options)
  local y = run(leaves)
  return grad(weighted(y), leaves, options)
end

-- An op that has no gradient written with ops refuses the second derivative by name; no other may.
local function refused(op, message)
  return not (op.has_vjp or op.composed) and
    tostring(message):find(("'%s' has no second derivative"):format(op.name), 1, true) ~= nil
end

for _, op in ipairs(convlua.ops()) do
  describe(op.name, function()
    if not op.internal then
      it("is described and has samples", function()
        assert.equal(op.name .. "(", op.doc:sub(1, #op.name + 1))
        assert.truthy(op.doc:find "%) %-> [%a]", "the doc's first line says what comes out")
        assert.truthy(op.doc:find "\n", "the doc says in a sentence what it does")
        assert.truthy(#op.samples > 0, "no samples")
        assert.truthy(#op.rejects > 0, "no wrong call is listed")
        for _, option in ipairs(op.options) do
          assert.truthy(option.doc and #option.doc > 0, option.name .. " has no doc")
          assert.truthy(op.doc:find(option.name, 1, true), option.name .. " is not in the doc")
        end
      end)
    end

    for _, sample in ipairs(op.samples) do
      local run = compile(sample, "float64")
      local function fresh()
        local leaves = {}
        convlua.manual_seed(3)
        local y = run(leaves)
        return leaves, y
      end

      it("computes in float32 what it does in float64: " .. sample, function()
        local leaves = fresh()
        local exact, rounded = run(copies(leaves, "float64")), run(copies(leaves, "float32"))
        assert.same(exact.shape, rounded.shape)
        assert.close(flat(rounded:cast "float64"), flat(exact:cast "float64"), 2e-5)
      end)

      it("computes halves in float32 and rounds the result: " .. sample, function()
        for _, dtype in ipairs { "bfloat16", "float16" } do
          local narrow = copies(fresh(), dtype)
          local exact = run(copies(narrow, "float32"))
          local y = run(copies(narrow, dtype))
          assert.same(exact.shape, y.shape)
          -- Where the sample computes the op's inputs, those have been rounded too.
          local several = sample:find "[})%d] [*+-] " or sample:find "softmax%(randn{%d, %d}%)"
          assert.close(flat(y), flat(exact:cast(y.dtype)), several and 4e-2 or 0)
        end
      end)

      it("has the gradient that differences show: " .. sample, function()
        local leaves, y = fresh()
        if not (y.requires_grad and floating(y)) then return end
        leaves = copies(leaves, "float64")
        local found = gradients(run, copies(leaves, "float64"))
        for i in ipairs(leaves) do
          local expected = differences(function(list) return weighted(run(list)):item() end, leaves, i)
          if found[i] then
            assert.same(leaves[i].shape, found[i].shape)
            assert.close(flat(found[i]), expected, tolerance)
          else
            for _, d in ipairs(expected) do assert.close(d, 0, tolerance) end
          end
        end
      end)

      it("has the same gradient from its kernel and from ops: " .. sample, function()
        local leaves, y = fresh()
        if not (y.requires_grad and floating(y)) then return end
        local first = gradients(run, copies(leaves, "float64"))
        local ok, again = pcall(gradients, run, copies(leaves, "float64"), { create_graph = true })
        if not ok and refused(op, again) then return end
        assert(ok, again)
        for i in ipairs(leaves) do
          assert.equal(not first[i], not again[i])
          if first[i] then assert.close(flat(again[i]), flat(first[i]), 1e-9) end
        end
      end)

      it("has the second derivative that differences show: " .. sample, function()
        local leaves, y = fresh()
        if not (y.requires_grad and floating(y)) then return end
        leaves = copies(leaves, "float64")
        -- The weighted sum of all first gradients, a number that depends on the leaves again.
        local function slope(list)
          local total
          for _, g in ipairs(gradients(run, list, { create_graph = true })) do
            if g then total = total and total + weighted(g) or weighted(g) end
          end
          return total
        end
        local ok, total = pcall(slope, leaves)
        if not ok and refused(op, total) then return end
        assert(ok, total)
        if not total.requires_grad then return end -- a linear op
        local found = grad(total, leaves)
        for i in ipairs(leaves) do
          local expected = differences(function(list) return slope(list):item() end, leaves, i)
          if found[i] then
            assert.close(flat(found[i]), expected, 1e-5)
          else
            for _, d in ipairs(expected) do assert.close(d, 0, 1e-5) end
          end
        end
      end)
    end

    for _, reject in ipairs(op.rejects) do
      it("refuses " .. reject[1], function()
        local call = assert(load("return " .. reject[1], "=reject", "t", visible))
        assert.raises_like(call, reject[2])
      end)
    end
  end)
end

describe("the list of ops", function()
  it("is sorted and has no two of one name", function()
    local list = convlua.ops()
    for i = 2, #list do assert.truthy(list[i - 1].name < list[i].name) end
  end)
end)
