--- A model, an optimizer and data small enough to compute by hand, in plain Lua: y = w x, the loss
-- (w x - t)^2, and gradient descent with momentum. For specs of what is built around them.

local convlua = require "convlua"

local toy = {}

local Model = {}
Model.__index = Model
Model.__call = function(self, x)
  self.calls = self.calls + 1
  return x * self.w
end

function toy.model(w)
  return setmetatable({ w = convlua.tensor({ w or 0 }, { requires_grad = true }), calls = 0, mode = "none" }, Model)
end

function Model:train() self.mode = "train" end
function Model:eval() self.mode = "eval" end
function Model:state() return { w = self.w } end
function Model:load_state(state)
  convlua.no_grad(function() self.w:copy_(state.w) end)
end
function Model:value() return self.w:item() end

function toy.loss(y, t)
  return (y - t):square():sum()
end

local Optimizer = {}
Optimizer.__index = Optimizer

function toy.optimizer(model, o)
  o = o or {}
  return setmetatable({ w = model.w, learning_rate = o.learning_rate or 0.1, momentum = o.momentum or 0,
    velocity = convlua.zeros(1), steps = 0 }, Optimizer)
end

function Optimizer:zero_grad() self.w.grad = nil end

function Optimizer:step()
  self.steps = self.steps + 1
  convlua.no_grad(function()
    self.velocity:copy_(self.velocity * self.momentum - self.w.grad * self.learning_rate)
    self.w:copy_(self.w + self.velocity)
  end)
end

function Optimizer:state()
  return { velocity = self.velocity, learning_rate = self.learning_rate, steps = self.steps }
end

function Optimizer:load_state(state)
  convlua.no_grad(function() self.velocity:copy_(state.velocity) end)
  self.learning_rate, self.steps = state.learning_rate, state.steps
end

--- `n` batches of one sample: x = i, t = 2 i.
function toy.batches(n)
  local list = {}
  for i = 1, n do list[i] = { convlua.tensor { i / n }, convlua.tensor { 2 * i / n } } end
  return list
end

return toy
