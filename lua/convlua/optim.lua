--- convlua.optim: optimizers, which update the parameters from their gradients.
--
--   local sgd = optim.SGD(model, { learning_rate = 0.1, momentum = 0.9 })
--   sgd:zero_grad(); loss:backward(); sgd:step()
--   sgd.learning_rate = 0.01           every number can be read and set between steps
--
-- SGD, Adam, AdamW, ... (one per update rule of the core; help(optim.SGD) has the options) take a
-- model, a layer, or a list of tensors. Options beside the rule's own:
--
--   groups = function(path, parameter) -> nil or { learning_rate =, weight_decay = }
-- gives a parameter numbers of its own; path is its name in the model, or its place in the list.
-- A learning rate of a group keeps its ratio to the optimizer's when that is changed.
--
-- optim.Muon (optim/muon.lua) and optim.Several (optim/several.lua) are written in Lua.
--
-- Any object with step() and zero_grad() is an optimizer for train.Loop; with state() and
-- load_state() it can be resumed.

local core = require "convlua.core"
local tree = require "convlua.nn.tree"

local optim = {}

--- A choice of groups: weight decay for filters and weight matrices, none for biases and what
-- normalization layers scale and shift by, which are vectors.
function optim.weights_only(_, parameter)
  if parameter.ndim < 2 then return { weight_decay = 0 } end
end

local methods = {}
local Optimizer = {}

-- Fields that are not the wrapper's are the core optimizer's: learning_rate, step_count, ...
function Optimizer:__index(name)
  local method = methods[name]
  if method then return method end
  return rawget(self, "_core")[name]
end

function Optimizer:__newindex(name, value) self._core[name] = value end

function Optimizer:__tostring() return tostring(self._core) end

--- Updates every parameter that has a gradient.
function methods:step() self._core:step() end

function methods:zero_grad() self._core:zero_grad() end

--- The Euclidean norm of all gradients together.
function methods:gradient_norm() return self._core:gradient_norm() end

--- The path of the first parameter whose gradient has a NaN or an infinity, or nil.
function methods:first_non_finite()
  return self._names[self._core:first_non_finite()]
end

--- "velocity.3" <-> "velocity.stem.conv.filter"; other names stay.
local function by_path(names, name)
  local kind, number = name:match "^([%w_]+)%.(%d+)$"
  return kind and kind .. "." .. names[tonumber(number)] or name
end

--- name -> tensor, named by the parameters' paths: the tensors themselves, "step" (steps done) and
-- learning_rate, a number.
function methods:state()
  local state = { learning_rate = self.learning_rate }
  for name, tensor in pairs(self._core:state()) do state[by_path(self._names, name)] = tensor end
  return state
end

local function shape_text(tensor)
  return tensor.dtype .. " {" .. table.concat(tensor.shape, ", ") .. "}"
end

--- Restores what state() gave. When names or shapes differ, an error lists them and nothing is
-- changed.
function methods:load_state(state)
  local wanted, problems, translated, known = self._core:state(), {}, {}, { learning_rate = true }
  for number, tensor in pairs(wanted) do
    local name = by_path(self._names, number)
    local found = state[name]
    known[name], translated[number] = true, found
    if not core.is_tensor(found) then
      problems[#problems + 1] = "  missing: " .. name
    elseif shape_text(found) ~= shape_text(tensor) then
      problems[#problems + 1] = ("  %s: %s here, %s in the state"):format(name,
        shape_text(tensor), shape_text(found))
    end
  end
  for name in pairs(state) do
    if not known[name] then problems[#problems + 1] = "  unexpected: " .. tostring(name) end
  end
  if #problems > 0 then
    table.sort(problems)
    local more = #problems > 20 and ("\n  and %d more"):format(#problems - 20) or ""
    error("the state does not fit the optimizer; nothing was loaded\n" ..
      table.concat(problems, "\n", 1, math.min(#problems, 20)) .. more, 2)
  end
  self._core:load_state(translated)
  if state.learning_rate then self.learning_rate = state.learning_rate end
end

--- Ordered list of {path, tensor} of what is to be optimized.
local function entries_of(source, kind)
  local list = {}
  if tree.kind(source) == "module" or tree.kind(source) == "layer" then
    for path, tensor in tree.each(source, "parameter") do list[#list + 1] = { path, tensor } end
  elseif type(source) == "table" then
    for i, tensor in ipairs(source) do list[i] = { tostring(i), tensor } end
  else
    local text = "%s: a model or a list of tensors expected, got %s"
    error(text:format(kind, core.is_tensor(source) and "a tensor" or type(source)), 4)
  end
  if #list == 0 then error(kind .. ": there is nothing to optimize", 4) end
  return list
end

--- Sorts entries into groups of equal numbers: the plain list, the core's list of groups, and the
-- names in the core's order.
local function grouped(entries, choose)
  local plain, groups, of_numbers, names = {}, {}, {}, {}
  for _, entry in ipairs(entries) do
    local path, tensor = entry[1], entry[2]
    local numbers = choose and choose(path, tensor)
    if numbers == nil then
      plain[#plain + 1] = tensor
      names[#names + 1] = path
    else
      local key = ("%s/%s"):format(numbers.learning_rate, numbers.weight_decay)
      local group = of_numbers[key]
      if not group then
        group = { parameters = {}, _names = {} }
        for name, value in pairs(numbers) do group[name] = value end
        of_numbers[key], groups[#groups + 1] = group, group
      end
      table.insert(group.parameters, tensor)
      table.insert(group._names, path)
    end
  end
  for _, group in ipairs(groups) do
    table.move(group._names, 1, #group._names, #names + 1, names)
    group._names = nil
  end
  return plain, groups, names
end

local function make(kind, source, options)
  local o = { kind = kind }
  for name, value in pairs(options or {}) do o[name] = value end
  if o.groups ~= nil and type(o.groups) ~= "function" then
    local text = "%s: groups must be a function(path, parameter), got %s"
    error(text:format(kind, type(o.groups)), 3)
  end
  local plain, groups, names = grouped(entries_of(source, kind), o.groups)
  o.parameters, o.groups = plain, #groups > 0 and groups or nil
  return setmetatable({ _core = core.optimizer(o), _names = names }, Optimizer)
end

for _, rule in ipairs(core.optimizers()) do
  optim[rule.name] = function(source, options) return make(rule.name, source, options) end
end

optim.Muon = require "convlua.optim.muon"
optim.Several = require "convlua.optim.several"

return optim
