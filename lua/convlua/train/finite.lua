--- The guard against losses and gradients that are infinite or not a number. On the way that is
-- always taken it costs one comparison and the optimizer's own look at the gradients; only when
-- something is wrong is the forward pass run again to find out where it began.

local core = require "convlua.core"

local finite = {}

--- Whether a number is neither infinite nor NaN.
function finite.is_finite(number)
  return number == number and number ~= math.huge and number ~= -math.huge
end

local function all_finite(tensor)
  return core.is_finite(tensor):logical_not():sum():item() == 0
end

local function has(object, name)
  local ok, value = pcall(function() return object[name] end)
  return ok and type(value) == "function"
end

--- The first gradient that is not finite: the parameter's path or number, or nil.
function finite.bad_gradient(loop)
  local optimizer, model = loop.optimizer, loop.model
  if optimizer and has(optimizer, "first_non_finite") then return optimizer:first_non_finite() end
  if not has(model, "named_parameters") then return nil end
  for path, parameter in model:named_parameters() do
    if parameter.grad and not all_finite(parameter.grad) then return path end
  end
end

local function describe(layer)
  local ok, kind = pcall(function() return layer.type or layer.__name end)
  return ok and kind and (" (%s)"):format(kind) or ""
end

--- Runs the forward pass again and returns the first layer whose output is not finite although its
-- inputs are, as text; nil when there is none.
local function bad_layer(loop)
  if not has(loop.model, "named_parts") then return nil end
  if not all_finite(loop.last_input) then return "the input of the batch" end
  for path, parameter in loop.model:named_parameters() do
    if not all_finite(parameter) then return ("the parameter '%s'"):format(path) end
  end
  local paths, found = {}, nil
  for path, part in loop.model:named_parts() do paths[part] = path end
  local function tell(part, _, output)
    if found or not core.is_tensor(output) or all_finite(output) then return end
    local path = paths[part]
    found = ("the output of layer '%s'%s"):format(path == "" and "the model" or path or "?", describe(part))
  end
  core.autograd.no_grad(require("convlua.nn.trace").watch, tell, loop.model, loop.last_input)
  return found
end

--- nil when all is well; else what is wrong and where it began, as one sentence. `loss_only`: the
-- gradients have been looked at.
function finite.problem(loop, loss_only)
  local loss = loop.last_loss_value
  local loss_is_fine = loss == nil or finite.is_finite(loss)
  local parameter = loss_is_fine and not loss_only and finite.bad_gradient(loop)
  if loss_is_fine and not parameter then return nil end
  local what = loss_is_fine and ("the gradient of '%s' is not finite"):format(tostring(parameter))
    or ("the loss is %s"):format(tostring(loss))
  local ok, layer = pcall(core.scope, bad_layer, loop)
  local where = ok and layer and "; the first number that is not finite is in " .. layer
    or loss_is_fine and "; every layer's output is finite"
    or "; the model's output is finite, so it is the loss function's"
  if not ok then where = "; the forward pass could not be repeated: " .. tostring(layer) end
  return ("epoch %d, batch %d: %s%s"):format(loop.epoch_index, loop.batch_index, what, where)
end

--- Copies of the model's buffers: a bad batch leaves its mark in BatchNorm's running statistics too.
function finite.remember(model)
  local copies = {}
  if not has(model, "named_buffers") then return copies end
  for _, buffer in model:named_buffers() do copies[#copies + 1] = { buffer, buffer:clone() } end
  return copies
end

function finite.restore(copies)
  if not copies then return end
  core.autograd.no_grad(function()
    for _, pair in ipairs(copies) do pair[1]:copy_(pair[2]) end
  end)
end

return finite
