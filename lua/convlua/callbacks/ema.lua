--- ema{ decay = 0.999, every = 1 }: an exponential moving average of the weights,
--   average = decay * average + (1 - decay) * weight        every so many updates
-- which takes the model's place during validation, and for good at the end of the fit. Buffers are
-- averaged as the parameters are.

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"

local no_grad = core.autograd.no_grad

local function copies(model)
  local all = {}
  for name, tensor in pairs(model:state()) do all[name] = core.keep(tensor:clone()) end
  return all
end

local function exchange(self, model)
  no_grad(function()
    for name, tensor in pairs(model:state()) do
      local average = self.average[name]
      local weight = tensor:clone()
      tensor:copy_(average)
      average:copy_(weight)
    end
  end)
  self.exchanged = not self.exchanged
end

local on = {}

function on.fit_start(self, loop)
  self.average, self.exchanged = copies(loop.model), false
end

function on.batch_end(self, loop)
  if loop.phase ~= "training" or loop.step_count % self.every ~= 0 then return end
  no_grad(function()
    for name, tensor in pairs(loop.model:state()) do
      local average = self.average[name]
      average:copy_(average * self.decay + tensor * (1 - self.decay))
    end
  end)
end

function on.validation_start(self, loop) exchange(self, loop.model) end

function on.validation_end(self, loop)
  if self.exchanged then exchange(self, loop.model) end
end

function on.epoch_end(self, loop)
  if self.exchanged then exchange(self, loop.model) end -- validation was left early
end

--- So that a checkpoint written now holds the weights, and the average apart.
function on.interrupted(self, loop)
  if self.exchanged then exchange(self, loop.model) end
end

function on.fit_end(self, loop)
  if not self.exchanged then exchange(self, loop.model) end
end

local function state(self) return {}, self.average end

local function load_state(self, _, tensors)
  no_grad(function()
    for name, tensor in pairs(tensors) do self.average[name]:copy_(tensor) end
  end)
end

return function(o)
  o = handler.options("ema", o, { decay = 0.999, every = 1 })
  o.state, o.load_state = state, load_state
  return handler.new("ema", on, o)
end
