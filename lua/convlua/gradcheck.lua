--- Gradients compared with differences, in double precision.
--
-- The result's elements are weighted with fixed pseudo-random numbers v. For every element of every
-- input that requires gradients, the gradient of sum(v * f(x)) must agree with the difference
-- (sum(v * f(x + eps)) - sum(v * f(x - eps))) / (2 eps):
--   |analytic - numeric| <= atol + rtol * |numeric|
-- Everything is done once with the inputs as given and once with inputs whose memory has gaps.

local core = require "convlua.core"
local autograd = core.autograd

local gradcheck = {}

--- Numbers in (-1, 1), none near 0, the same in every run. Park & Miller 1988.
local function weights_like(y)
  local list, state = {}, 20240229
  for i = 1, y:numel() do
    state = state * 48271 % 2147483647
    local u = state / 2147483647
    list[i] = (u < 0.5 and -1 or 1) * (0.25 + 0.75 * (u * 2 % 1))
  end
  return core.tensor(list, { dtype = y.dtype }):reshape(y.shape)
end

--- The same numbers, every second element of a tensor twice as long along its last axis.
local function with_gaps(x)
  if x.ndim == 0 then return x:clone() end
  local shape = x.shape
  shape[#shape] = shape[#shape] * 2
  local gaps = core.zeros(shape, { dtype = x.dtype }):slice(-1, 1, -1, 2)
  gaps:copy_(x)
  return gaps
end

--- Copies of the inputs; what is no tensor, or no floating one, stays as it is.
local function copies(inputs, copy)
  local list, checked = { n = inputs.n }, {}
  for i = 1, inputs.n do
    local x = inputs[i]
    list[i] = x
    if core.is_tensor(x) and x.requires_grad then
      if x.dtype ~= "float64" then
        error(("gradcheck: input %d is %s; float64 is needed"):format(i, x.dtype), 0)
      end
      list[i] = autograd.no_grad(copy, x:detach())
      list[i].requires_grad = true
      checked[#checked + 1] = i
    end
  end
  if #checked == 0 then error("gradcheck: no input requires gradients", 0) end
  return list, checked
end

--- The floating tensors that f gives, as a list.
local function results(f, inputs)
  local list = {}
  local function add(value)
    if core.is_tensor(value) then
      if value.dtype == "float64" then list[#list + 1] = value end
    elseif type(value) == "table" then
      for _, part in ipairs(value) do add(part) end
    end
  end
  for _, value in ipairs(table.pack(f(table.unpack(inputs, 1, inputs.n)))) do add(value) end
  if #list == 0 then error("gradcheck: the function gives no float64 tensor", 0) end
  return list
end

local function weighted_sum(ys, vs)
  local total
  for i, y in ipairs(ys) do
    local part = (y * vs[i]):sum()
    total = total and total + part or part
  end
  return total
end

--- {2, 3} and 4 -> the index {2, 1}, last axis fastest.
local function index_of(shape, position)
  local index, rest = {}, position - 1
  for axis = #shape, 1, -1 do
    index[axis] = rest % shape[axis] + 1
    rest = rest // shape[axis]
  end
  return index
end

local function value_at(f, inputs, vs)
  return core.scope(function()
    return autograd.no_grad(function() return weighted_sum(results(f, inputs), vs):item() end)
  end)
end

local function set(x, index, value)
  if #index == 0 then x:fill_(value) else x[index] = value end
end

--- The difference quotient of element `index` of x, one of the inputs.
local function quotient(f, inputs, vs, x, index, eps)
  local before = (#index == 0 and x or x[index]):item()
  local function at(value)
    autograd.no_grad(set, x, index, value)
    return value_at(f, inputs, vs)
  end
  local above, below = at(before + eps), at(before - eps)
  autograd.no_grad(set, x, index, before)
  return (above - below) / (2 * eps)
end

local function check(f, inputs, checked, o, how)
  local ys = results(f, inputs)
  local vs = {}
  for i, y in ipairs(ys) do vs[i] = weights_like(y) end
  local total = weighted_sum(ys, vs)
  if not total.requires_grad then
    error("gradcheck: the result does not depend on an input that requires gradients", 0)
  end
  if total:item() ~= value_at(f, inputs, vs) then
    error("gradcheck: two calls with the same inputs differ; the function must not draw numbers", 0)
  end
  local xs = {}
  for k, i in ipairs(checked) do xs[k] = inputs[i] end
  local gradients = autograd.grad(total, xs)
  for k, x in ipairs(xs) do
    local gradient = gradients[k] and gradients[k]:contiguous():reshape { x:numel() }
    for position = 1, x:numel() do
      local index = index_of(x.shape, position)
      local analytic = gradient and gradient[position]:item() or 0
      local numeric = quotient(f, inputs, vs, x, index, o.eps)
      local apart = math.abs(analytic - numeric)
      if apart ~= apart or apart > o.atol + o.rtol * math.abs(numeric) then
        local text = "gradcheck: input %d%s, element {%s}: gradient %.9g, by differences %.9g"
        error(text:format(checked[k], how, table.concat(index, ", "), analytic, numeric), 0)
      end
    end
  end
end

local defaults = { eps = 1e-6, atol = 1e-5, rtol = 1e-3, gaps = true }

local function options_of(given)
  local o = {}
  for name, value in pairs(defaults) do o[name] = value end
  for name, value in pairs(given or {}) do
    if defaults[name] == nil then
      error(("gradcheck: unknown option '%s'; there are atol, eps, gaps, rtol"):format(name), 3)
    end
    o[name] = value
  end
  return o
end

--- gradcheck(f, {x1, x2, ...}, {eps = 1e-6, atol = 1e-5, rtol = 1e-3, gaps = true}) -> true
--
-- f(x1, x2, ...) gives one or several tensors. Inputs that are to be checked are float64 and
-- require gradients; others, which may be anything, are handed on. Raises an error that names the
-- input, the element and both values. gaps = false leaves out inputs with gaps in their memory.
function gradcheck.gradcheck(f, inputs, options)
  local o = options_of(options)
  inputs = core.is_tensor(inputs) and { inputs } or inputs
  inputs = table.move(inputs, 1, inputs.n or #inputs, 1, { n = inputs.n or #inputs })
  core.scope(function()
    local list, checked = copies(inputs, function(x) return x:clone() end)
    check(f, list, checked, o, "")
    if o.gaps then
      list, checked = copies(inputs, with_gaps)
      check(f, list, checked, o, " (with gaps in its memory)")
    end
  end)
  return true
end

--- The same for the gradient of f: second derivatives. f must give tensors of float64.
function gradcheck.gradgradcheck(f, inputs, options)
  inputs = core.is_tensor(inputs) and { inputs } or inputs
  local n = inputs.n or #inputs
  local checked = {}
  for i = 1, n do
    if core.is_tensor(inputs[i]) and inputs[i].requires_grad then checked[#checked + 1] = i end
  end
  local ys = results(f, table.move(inputs, 1, n, 1, { n = n }))
  local all = table.move(inputs, 1, n, 1, { n = n + #ys })
  for i, y in ipairs(ys) do
    all[n + i] = weights_like(y)
    all[n + i].requires_grad = true
  end
  local function gradient(...)
    local given = table.pack(...)
    local out = results(f, table.move(given, 1, n, 1, { n = n }))
    local total
    for i, y in ipairs(out) do
      local part = (y * given[n + i]):sum()
      total = total and total + part or part
    end
    local xs = {}
    for k, i in ipairs(checked) do xs[k] = given[i] end
    return autograd.with_grad(autograd.grad, total, xs, { create_graph = true })
  end
  return gradcheck.gradcheck(function(...)
    return autograd.with_grad(gradient, ...) -- also where only values are wanted
  end, all, options)
end

return gradcheck
