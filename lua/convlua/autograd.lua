--- convlua.autograd: gradients, functions with a backward of their own, checks of gradients.
--
--   autograd.grad(y, x or {x1, x2}, {gradient =, retain_graph =, create_graph =})
--   autograd.no_grad(f, ...), autograd.with_grad(f, ...), autograd.enabled()
--   autograd.precision(name, f, ...), autograd.precision()
--   autograd.Function{ forward =, backward =, name = }
--   autograd.gradcheck(f, inputs, options), autograd.gradgradcheck(f, inputs, options)

local core = require "convlua.core"
local check = require "convlua.gradcheck"

local autograd = {
  grad = core.autograd.grad,
  no_grad = core.autograd.no_grad,
  with_grad = core.autograd.with_grad,
  enabled = core.autograd.enabled,
  precision = core.autograd.precision,
  gradcheck = check.gradcheck,
  gradgradcheck = check.gradgradcheck,
}

--- What forward leaves for backward. Fields may be added at will.
local Context = {}
Context.__index = Context

--- ctx:save(a, b, ...) in forward ...
function Context:save(...) self._saved = table.pack(...) end

--- ... and local a, b = ctx:saved() in backward.
function Context:saved()
  local saved = self._saved
  if not saved then error("ctx:saved(): forward did not ctx:save(...) anything", 2) end
  return table.unpack(saved, 1, saved.n)
end

--- A differentiable function written in Lua.
--
--   local cube = autograd.Function{
--     name = "cube",
--     forward = function(ctx, x) ctx:save(x) return x * x * x end,
--     backward = function(ctx, gy)
--       local x = ctx:saved()
--       return gy * x * x * 3
--     end,
--   }
--   local y = cube(x)
-- forward runs without the tape and returns one floating tensor. backward gets the gradient of it
-- and returns one gradient per argument of forward, in order; nil where there is none (arguments
-- that are no tensors have none). Written with operations, it can be differentiated again.
function autograd.Function(definition)
  local name = definition.name or "autograd.Function"
  local forward, backward = definition.forward, definition.backward
  if type(forward) ~= "function" or type(backward) ~= "function" then
    error("autograd.Function: { forward = function(ctx, ...), backward = function(ctx, gy) } " ..
      "expected", 2)
  end
  return function(...)
    local count = select("#", ...)
    local inputs, position = {}, {}
    for i = 1, count do
      local value = select(i, ...)
      if core.is_tensor(value) then
        inputs[#inputs + 1], position[#position + 1] = value, i
      end
    end
    local ctx = setmetatable({}, Context)
    local y = autograd.no_grad(forward, ctx, ...)
    if not core.is_tensor(y) then
      error(("%s: forward must return a tensor, got %s"):format(name, type(y)), 2)
    end
    if #inputs == 0 then return y end
    for _, x in ipairs(inputs) do
      if y:is_same(x) then y = y:detach() end -- handed on: the result needs a node of its own
    end
    return core.autograd.record(name, inputs, y, function(gy)
      local all = table.pack(backward(ctx, gy))
      local wanted = {}
      for k, i in ipairs(position) do wanted[k] = all[i] end
      return table.unpack(wanted, 1, #position)
    end)
  end
end

return autograd
