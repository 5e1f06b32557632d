--- Numbers that tell how training goes, averaged over the samples of a phase.
--
-- What train.Loop{ metrics = {...} } takes:
--   "loss"            mean loss
--   "accuracy"        share of samples whose largest logit is the label's
--   "top5_accuracy"   share of samples whose label is among the five largest logits
--   "perplexity"      e^loss
--   name = function(output, target, loop) -> number     mean over a batch, averaged by batch size
--   an object with name, :reset(), :update(loop), :value(); with :state() and :load_state(table),
--             which is plain data, it also survives an interrupted run and a cancelled batch
--
-- Targets are labels that count from 1, {N}, or distributions of the outputs' shape.

local core = require "convlua.core"

local metrics = {}

local no_grad = core.autograd.no_grad

--- Samples in the batch at hand.
local function batch_size(loop)
  local x = loop.last_input
  return core.is_tensor(x) and x.ndim > 0 and x:size(1) or 1
end

-- A mean weighted by the number of samples. of(loop) -> the batch's mean.
local Mean = {}
Mean.__index = Mean

local function mean(name, of, finish)
  return setmetatable({ name = name, of = of, finish = finish, sum = 0.0, count = 0 }, Mean)
end

function Mean:update(loop)
  local n = batch_size(loop)
  local value = self.of(loop, n)
  if core.is_tensor(value) then value = value:item() end
  if type(value) ~= "number" then
    error(("metric '%s': a number expected, got %s"):format(self.name, type(value)), 0)
  end
  self.sum, self.count = self.sum + value * n, self.count + n
end

function Mean:value()
  if self.count == 0 then return nil end
  local value = self.sum / self.count
  return self.finish and self.finish(value) or value
end

function Mean:state() return { sum = self.sum, count = self.count } end

function Mean:load_state(state) self.sum, self.count = state.sum, state.count end

--- Labels {N} from what the target is.
local function labels_of(target, output)
  return target.ndim == output.ndim and output.ndim > 1 and target:argmax(-1) or target
end

--- How many of {N, classes} logits have the label's class as their largest.
function metrics.correct(output, target)
  return no_grad(function()
    return output:argmax(-1):eq(labels_of(target, output)):sum():item()
  end)
end

--- How many have the label's class among the k largest: fewer than k logits are above it.
function metrics.correct_among(output, target, k)
  return no_grad(function()
    local labels = labels_of(target, output)
    local own = output:gather(labels:unsqueeze(-1), -1) -- {N, 1}
    return output:gt(own):sum(-1):lt(k):sum():item()
  end)
end

local named = {
  loss = function() return mean("loss", function(loop) return loop.last_loss_value end) end,
  accuracy = function()
    return mean("accuracy", function(loop, n) return metrics.correct(loop.last_output, loop.last_target) / n end)
  end,
  top5_accuracy = function()
    return mean("top5_accuracy", function(loop, n)
      return metrics.correct_among(loop.last_output, loop.last_target, 5) / n
    end)
  end,
  perplexity = function()
    return mean("perplexity", function(loop) return loop.last_loss_value end, math.exp)
  end,
}

local function from_function(name, f)
  return mean(name, function(loop)
    return no_grad(f, loop.last_output, loop.last_target, loop)
  end)
end

local function from_object(name, object)
  if type(object.name) == "string" then name = object.name end
  for _, method in ipairs { "reset", "update", "value" } do
    if type(object[method]) ~= "function" then
      error(("metric '%s': it has no method %s"):format(name, method), 0)
    end
  end
  object:reset()
  return setmetatable({ name = name }, { __index = function(_, key)
    local method = object[key]
    return type(method) == "function" and function(_, ...) return method(object, ...) end or method
  end })
end

--- The metric that an entry of the loop's list stands for.
local function new_metric(key, entry)
  local name = type(key) == "string" and key or "metric" .. key
  if type(entry) == "string" then
    local make = named[entry]
    if not make then
      local known = {}
      for known_name in pairs(named) do known[#known + 1] = known_name end
      table.sort(known)
      error(("metrics: unknown metric '%s'; there are %s"):format(entry, table.concat(known, ", ")), 0)
    end
    local metric = make()
    if type(key) == "string" then metric.name = key end
    return metric
  elseif type(entry) == "function" then
    return from_function(name, entry)
  elseif type(entry) == "table" then
    return from_object(name, entry)
  end
  error(("metrics: '%s' is a %s; a name, a function or an object expected"):format(name, type(entry)), 0)
end

-- All metrics of a phase together.
local Meter = {}
Meter.__index = Meter

--- The list of a loop, in order, then its named entries by name.
function metrics.meter(list)
  local meter = { }
  for i, entry in ipairs(list) do meter[i] = new_metric(i, entry) end
  local names = {}
  for key in pairs(list) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, name in ipairs(names) do meter[#meter + 1] = new_metric(name, list[name]) end
  return setmetatable(meter, Meter)
end

function Meter:update(loop)
  for _, metric in ipairs(self) do metric:update(loop) end
end

--- Puts the values so far into `stats`, under their names behind `prefix`.
function Meter:write(stats, prefix)
  for _, metric in ipairs(self) do stats[prefix .. metric.name] = metric:value() end
end

--- name -> state of the metrics that have one.
function Meter:state()
  local states = {}
  for _, metric in ipairs(self) do
    if metric.state then states[metric.name] = metric:state() end
  end
  return states
end

function Meter:load_state(states)
  for _, metric in ipairs(self) do
    local state = states[metric.name]
    if state and metric.load_state then metric:load_state(state) end
  end
end

return metrics
