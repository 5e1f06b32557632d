--- Losses: how far a network's output is from its target. Each is loss(output, target, options),
-- reduction = "mean" (default), "sum" or "none", and, called with options alone, gives such a
-- function with the options in it:
--
--   nn.softmax_cross_entropy(logits, labels)
--   train.Loop{ loss = nn.softmax_cross_entropy{ label_smoothing = 0.1 }, ... }

local core = require "convlua.core"

-- Operations of the core that are losses; `convlua.help` knows their options.
local names = {
  "softmax_cross_entropy", "sigmoid_cross_entropy", "mse", "mae", "huber",
}

local function merged(first, second)
  local o = {}
  for name, value in pairs(first) do o[name] = value end
  for name, value in pairs(second or {}) do o[name] = value end
  return o
end

local function loss_of(op)
  return function(output, target, options)
    if target == nil and type(output) == "table" then
      local preset = output
      return function(y, t, o) return op(y, t, o and merged(preset, o) or preset) end
    end
    return op(output, target, options)
  end
end

local losses = {}
for _, name in ipairs(names) do losses[name] = core[name] and loss_of(core[name]) end
return losses
