--- optim.Several{ first, second, ... }: optimizers that share the parameters of a model between them.
-- It has the learning rate of the first; when that is set the others' follow in proportion, so that
-- one schedule rules them all.

local Several = {}

local function each(name)
  return function(self)
    for _, optimizer in ipairs(self.list) do optimizer[name](optimizer) end
  end
end

local methods = { step = each "step", zero_grad = each "zero_grad" }

--- {name = tensor or number}, for checkpoints; the names of the i-th start with "i.".
function methods:state()
  local state = {}
  for i, optimizer in ipairs(self.list) do
    for name, value in pairs(optimizer:state()) do state[i .. "." .. name] = value end
  end
  return state
end

function methods:load_state(state)
  local parts = {}
  for name, value in pairs(state) do
    local i, rest = name:match "^(%d+)%.(.*)$"
    i = tonumber(i)
    if not self.list[i] then error(("Several: unexpected '%s' in the state"):format(name), 2) end
    parts[i] = parts[i] or {}
    parts[i][rest] = value
  end
  for i, optimizer in ipairs(self.list) do optimizer:load_state(parts[i] or {}) end
end

function Several:__index(name)
  if name == "learning_rate" then return self.list[1].learning_rate end
  return methods[name]
end

function Several:__newindex(name, value)
  if name ~= "learning_rate" then
    error(("Several: '%s' cannot be set here; set it in the optimizer it belongs to"):format(tostring(name)), 2)
  end
  for i, optimizer in ipairs(self.list) do optimizer.learning_rate = value * self.ratio[i] end
end

return function(list)
  if type(list) ~= "table" or #list == 0 then error("Several: a list of optimizers expected", 2) end
  local ratio = {}
  for i, optimizer in ipairs(list) do
    local rate = optimizer.learning_rate
    if type(rate) ~= "number" or not optimizer.step then
      error(("Several: entry %d: an optimizer with a learning rate expected"):format(i), 2)
    end
    ratio[i] = rate / list[1].learning_rate
  end
  return setmetatable({ list = list, ratio = ratio }, Several)
end
