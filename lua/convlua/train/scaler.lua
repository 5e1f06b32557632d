--- Loss scaling for precision = "f16": small gradients are 0 in float16, so backward starts from a large
-- number instead of 1, and the gradients are divided by it afterwards. One that is too large makes
-- infinite gradients: that step does not update, and the scale shrinks; after `interval` good ones in a
-- row it grows. Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; numbers of PyTorch's GradScaler.

local core = require "convlua.core"
local finite = require "convlua.train.finite"

local defaults = { initial = 65536, growth = 2, backoff = 0.5, interval = 2000 }
local LEAST = 2 ^ -14 -- gradients that are infinite here are so without any scale

local Scaler = {}
Scaler.__index = Scaler

--- new{initial, growth, backoff, interval} -> scaler; all may be left out. Fields: scale, good_steps.
local function new(o)
  for name, value in pairs(o) do
    if not defaults[name] then error(("train.Loop: loss_scale: unknown option '%s'"):format(tostring(name)), 0) end
    if type(value) ~= "number" or not (value > 0) then
      error(("train.Loop: loss_scale: %s must be a positive number, got %s"):format(name, tostring(value)), 0)
    end
  end
  local self = setmetatable({ good_steps = 0 }, Scaler)
  for name, value in pairs(defaults) do self[name] = o[name] or value end
  self.scale = self.initial
  return self
end

--- loss:backward(), times the scale. The scale is read from a tensor, which a captured step finds again.
function Scaler:backward(loss)
  local seed = self.seed
  if not seed or seed.device ~= loss.device or seed.dtype ~= loss.dtype then
    if seed then seed:free() end
    self.seed = core.keep(core.full(loss.shape, self.scale, { dtype = loss.dtype, device = loss.device }))
  end
  loss:backward(self.seed)
end

local function set(self, scale)
  self.scale = scale
  if self.seed then self.seed:fill_(scale) end
end

--- Divides the gradients of the loop's model by the scale, in place.
function Scaler:unscale(loop)
  if not self.seed then
    error("train.Loop: with precision 'f16' the step calls loop:backward(loss), which scales it", 0)
  end
  core.autograd.no_grad(core.scope, function()
    for _, parameter in loop.model:named_parameters() do
      local grad = parameter.grad
      if grad then grad:copy_(grad * (1 / self.scale)) end
    end
  end)
end

--- Looks at the gradients and adapts the scale. Returns whether they are too large: then there is no
-- update. A loss that is not finite itself is none of the scale's doing, and the guard's matter.
function Scaler:overflows(loop)
  if not finite.bad_gradient(loop) then
    self.good_steps = self.good_steps + 1
    if self.good_steps >= self.interval then
      self.good_steps = 0
      set(self, self.scale * self.growth)
    end
    return false
  end
  if loop.non_finite ~= "ignore" and not finite.is_finite(loop.last_loss_value) then return false end
  if self.scale < LEAST then
    error(("train.Loop: the gradients are not finite with a loss scale of %g either"):format(self.scale), 0)
  end
  self.good_steps = 0
  set(self, self.scale * self.backoff)
  return true
end

function Scaler:state() return { scale = self.scale, good_steps = self.good_steps } end

function Scaler:load_state(state)
  self.good_steps = state.good_steps
  set(self, state.scale)
end

function Scaler:close()
  if self.seed then self.seed:free() end
  self.seed = nil
end

return { new = new }
