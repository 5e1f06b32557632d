--- optim.Muon(parameters, { learning_rate = 0.02, momentum = 0.95, nesterov = true, steps = 5,
--                           keep_norm = false })
-- Momentum, then the nearest orthogonal matrix: Jordan et al. 2024, "Muon: An optimizer for hidden
-- layers in neural networks", https://kellerjordan.github.io/posts/muon.
--
--   v <- momentum v + g      u = g + momentum v  (nesterov), else v
--   w <- w - learning_rate O(u)
--
-- O(u) = U V^T for u = U S V^T, each parameter taken as a matrix {everything else, last axis}, by
-- `steps` iterations of Newton and Schulz with a quintic that is steep at 0:
--   X <- a X + b X (X^T X) + c X (X^T X)^2     from X = u / |u|
-- They bring every singular value to about 1, 0.7 to 1.2, which is good enough.
--
-- parameters: a list of filters and weight matrices (2 axes or more). The others want another
-- optimizer; optim.Several runs both. keep_norm: before each step a parameter gets the norm
-- sqrt(outputs), which a normalization behind its layer does not notice.

local core = require "convlua.core"
local options = require "convlua.nn.options"

local A, B, C = 3.4445, -4.7750, 2.0315
local AT_ONCE = 3 -- steps from one X^T X; its rounding errors at eigenvalues near 0 grow twelvefold with each

--- X (X^T X)^0 ... (X^T X)^(2 steps) in the proportions of some steps: X P. Each step multiplies X from the
-- right by Q, a polynomial in G = X^T X, so P is the product of the Qs, and G becomes Q G Q. All are
-- {columns, columns}: X, nine times as high in a layer of 3 x 3, is read twice for all steps.
local function stepped(x, steps)
  local gram, p = x:transpose():matmul(x), nil
  local constant = core.eye(x.shape[2], { dtype = x.dtype, device = x.device }) * A
  for step = 1, steps do
    local q = gram * B + gram:matmul(gram) * C + constant
    p = p and p:matmul(q) or q
    if step < steps then gram = q:matmul(gram):matmul(q) end
  end
  return x:matmul(p)
end

--- About U V^T of a matrix with rows >= columns.
local function orthogonal(x, steps)
  x = x / (x:square():sum():sqrt() + 1e-7)
  while steps > 0 do
    x = stepped(x, math.min(steps, AT_ONCE))
    steps = steps - AT_ONCE
  end
  return x
end

local function orthogonal_of(u, steps)
  local columns = u.shape[u.ndim]
  local matrix = u:reshape(-1, columns)
  if matrix.shape[1] >= columns then return orthogonal(matrix, steps):reshape(u.shape) end
  return orthogonal(matrix:transpose(), steps):transpose():reshape(u.shape)
end

local Muon = {}
Muon.__index = Muon

function Muon:zero_grad()
  for _, w in ipairs(self.parameters) do w.grad = nil end
end

local function update(self, w, v)
  v:copy_(v * self.momentum + w.grad)
  local u = self.nesterov and w.grad + v * self.momentum or v
  if self.keep_norm then
    w:copy_(w * (w.shape[w.ndim] ^ 0.5 / w:square():sum():sqrt()))
  end
  w:copy_(w - orthogonal_of(u, self.steps) * self.learning_rate)
end

function Muon:step()
  core.autograd.no_grad(core.scope, function()
    for i, w in ipairs(self.parameters) do
      if w.grad then update(self, w, self.velocity[i]) end
    end
  end)
end

--- {name = tensor or number}, for checkpoints.
function Muon:state()
  local state = { learning_rate = self.learning_rate }
  for i, v in ipairs(self.velocity) do state["velocity." .. i] = v end
  return state
end

function Muon:load_state(state)
  for i, v in ipairs(self.velocity) do
    local saved = state["velocity." .. i]
    local fits = core.is_tensor(saved) and table.concat(saved.shape, " ") == table.concat(v.shape, " ")
    if not fits then
      local text = "Muon: the state does not fit: velocity.%d must be a tensor {%s}"
      error(text:format(i, table.concat(v.shape, ", ")), 2)
    end
  end
  for i, v in ipairs(self.velocity) do v:copy_(state["velocity." .. i]) end
  self.learning_rate = state.learning_rate or self.learning_rate
end

local function check(parameters)
  if type(parameters) ~= "table" or #parameters == 0 then
    local got = type(parameters) == "table" and "an empty one" or type(parameters)
    error("Muon: a list of tensors expected, got " .. got, 3)
  end
  for i, w in ipairs(parameters) do
    if not core.is_tensor(w) or w.ndim < 2 then
      local got = core.is_tensor(w) and "one of shape {" .. table.concat(w.shape, ", ") .. "}" or type(w)
      error(("Muon: parameter %d: a tensor of 2 axes or more expected, got %s"):format(i, got), 3)
    end
  end
end

return function(parameters, given)
  local self = options.read(given, {
    learning_rate = 0.02, momentum = 0.95, nesterov = true, steps = 5, keep_norm = false,
  }, "Muon")
  check(parameters)
  self.parameters, self.velocity = table.move(parameters, 1, #parameters, 1, {}), {}
  for i, w in ipairs(parameters) do
    self.velocity[i] = core.keep(core.autograd.no_grad(function() return w * 0 end))
  end
  return setmetatable(self, Muon)
end
