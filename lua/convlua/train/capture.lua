--- Captured steps: train.Loop{capture = true}.
--
-- On a CUDA device a training step is a few hundred launches, each with some work of the host's
-- before it. A captured step is recorded once and is one launch from then on, with the same bits.
--
-- What is recorded is the step: forward, loss, backward. What comes before and after it runs each
-- time as it always does: the events batch_start, backward_end, update_start and batch_end, the guard
-- against numbers that are not finite, metrics, and the optimizer, which makes one launch for all
-- parameters and takes its numbers (learning rate, bias corrections, decay) along in a table.
--
--   * The batch is copied into tensors of the recording; random numbers go on where the program's
--     are; parameters and buffers are read and written where they lie. last_output and last_loss are
--     copies, so that convlua.keep does what it says; the gradients are the recording's own tensors,
--     which the next replay overwrites: clone() one to keep it.
--   * Lua code of the step (forward, loss, hooks, fit's step) runs when it is recorded, and not when
--     it is replayed. What it decides by (fields of modules that are no parts, upvalues of the loss) is
--     as it was then; `recapture` makes the loop look again.
--   * A batch of shapes and types that were not met before takes WARM_UP steps as if there was no
--     capture, in which convolutions get their plans, and is then recorded; of so many at a time, others
--     go on so. The last, smaller batch of an epoch is one of these.
--   * When something is not as it was recorded, the recording goes, and another is made: model, step,
--     loss, precision; fields of modules, private ones (that begin with "_") excepted; the parameters
--     and buffers, whether they require gradients; train() and eval() of any part.
--   * A label that is no class is found by the guard: the loss is not a number then.

local core = require "convlua.core"
local tree = require "convlua.nn.tree"

local WARM_UP, MOST = 2, 4

local Capture = {}
Capture.__index = Capture

local capture = {}

--- new() -> an object for one fit
function capture.new()
  return setmetatable({ entries = {}, met = {}, count = 0 }, Capture)
end

-- What a recording depends on -----------------------------------------------------------------------

local function describe(x)
  if x == nil then return "nil" end
  if not core.is_tensor(x) then
    error(("train.Loop: capture: a batch of tensors expected, got a %s"):format(type(x)), 0)
  end
  return ("%s %s %s"):format(x.dtype, x.device, table.concat(x.shape, "x"))
end

local function signature(loop)
  return describe(loop.last_input) .. "; " .. describe(loop.last_target)
end

local function is_public(key) return type(key) ~= "string" or key:byte() ~= 95 end

--- The tensors of a layer: parameters, then buffers.
local function tensors_of(layer)
  local list = {}
  for _, pair in ipairs(layer:parameters()) do list[#list + 1] = pair[2] end
  for _, pair in ipairs(layer:buffers()) do list[#list + 1] = pair[2] end
  return list
end

--- A copy of what the model is made of, to compare with. Of a layer's tensors it has handles, which end
-- with the scope unless they are kept.
local function photograph(model)
  local tables, layers, tensors, seen = {}, {}, {}, {}
  local function add_tensor(x) tensors[#tensors + 1] = { x, x.requires_grad } end
  local function go(value)
    local kind = tree.kind(value)
    if not kind or seen[value] then return end
    seen[value] = true
    if kind == "tensor" then
      add_tensor(value)
    elseif kind == "layer" then
      local list = tensors_of(value)
      layers[#layers + 1] = { value, value.training, list }
      for _, x in ipairs(list) do add_tensor(x) end
    else
      local fields, n = {}, 0
      for key, part in next, value do
        if is_public(key) then
          fields[key], n = part, n + 1
          go(part)
        end
      end
      tables[#tables + 1] = { value, fields, n }
    end
  end
  go(model)
  return { tables = tables, layers = layers, tensors = tensors }
end

local function same_fields(entry)
  local fields, n = entry[2], 0
  for key, part in next, entry[1] do
    if is_public(key) then
      if not rawequal(fields[key], part) then return false end
      n = n + 1
    end
  end
  return n == entry[3]
end

local function same_layer(entry)
  local layer, training, list = entry[1], entry[2], entry[3]
  if layer.training ~= training then return false end
  local now = tensors_of(layer)
  for i, x in ipairs(now) do
    if not list[i] or not x:is_same(list[i]) then return false end
  end
  return #now == #list
end

local function looks_like(picture)
  for _, entry in ipairs(picture.tables) do
    if not same_fields(entry) then return false end
  end
  for _, entry in ipairs(picture.layers) do
    if not same_layer(entry) then return false end
  end
  for _, entry in ipairs(picture.tensors) do
    if entry[1].requires_grad ~= entry[2] then return false end
  end
  return true
end

local function is_current(entry, loop)
  return entry.model == loop.model and entry.step == loop.step and entry.loss_function == loop.loss
    and entry.precision == core.autograd.precision() and looks_like(entry.picture)
end

-- Recording and replay ------------------------------------------------------------------------------

--- The parameters that have a gradient, after a step.
local function gradients(picture)
  local list = {}
  for _, pair in ipairs(picture.tensors) do
    local grad = pair[1].grad
    if grad then list[#list + 1] = { pair[1], core.keep(grad) } end
  end
  return list
end

--- zero_grad has been called: what has a gradient still would have another added to it each step.
local function check_gradients(loop)
  for _, pair in ipairs(photograph(loop.model).tensors) do
    if pair[1].grad then
      error("a parameter that is none of the optimizer's keeps its gradient from step to step; make the "
        .. "optimizer after model:to(device), or set requires_grad to false", 0)
    end
  end
end

local function run_step(loop)
  if loop.step(loop) then error("the step returned a cancel", 0) end
end

--- Where the recording finds its batch: tensors of its own.
local function own_batch(entry, loop)
  for _, name in ipairs { "last_input", "last_target" } do
    if loop[name] then
      entry[name] = core.keep(loop[name]:clone())
      loop[name] = entry[name]
    end
  end
end

--- Gives back what the entry holds; gradients stay with their parameters.
local function free(entry)
  for _, name in ipairs { "last_input", "last_target", "last_output", "last_loss" } do
    if entry[name] then entry[name]:free() end
  end
  for _, pair in ipairs(entry.gradients or {}) do pair[2]:free() end
  for _, layer in ipairs(entry.picture and entry.picture.layers or {}) do
    for _, x in ipairs(layer[3]) do x:free() end
  end
  if entry.recording then entry.recording:free() end
end

local function record(loop)
  local entry = { model = loop.model, step = loop.step, loss_function = loop.loss,
    precision = core.autograd.precision() }
  local input, target = loop.last_input, loop.last_target
  local ok, problem = pcall(function()
    check_gradients(loop)
    own_batch(entry, loop)
    entry.recording = core.device.record(input.device, run_step, loop)
  end)
  loop.last_input, loop.last_target = input, target
  if not ok then
    free(entry)
    error(("train.Loop: capture: the step cannot be recorded on device %s: %s"):format(input.device,
      tostring(problem)), 0)
  end
  for _, name in ipairs { "last_output", "last_loss" } do
    if core.is_tensor(loop[name]) then entry[name] = core.keep(loop[name]:detach()) end
  end
  entry.picture = photograph(loop.model)
  for _, layer in ipairs(entry.picture.layers) do core.keep(table.unpack(layer[3])) end
  entry.gradients = gradients(entry.picture)
  return entry
end

local function replay(entry, loop)
  if entry.last_input then entry.last_input:copy_(loop.last_input) end
  if entry.last_target then entry.last_target:copy_(loop.last_target) end
  entry.recording:replay()
  loop.last_output = entry.last_output and entry.last_output:clone()
  loop.last_loss = entry.last_loss and entry.last_loss:clone()
  for _, pair in ipairs(entry.gradients) do pair[1].grad = pair[2] end
end

-- The step as the loop calls it ----------------------------------------------------------------------

local function check_device(loop)
  local device = core.is_tensor(loop.last_input) and loop.last_input.device
  if device == "cpu" then
    error("train.Loop: capture: device 'cpu' cannot record a step; CUDA devices can "
      .. "(fit's option 'device')", 0)
  end
end

--- Takes the place of loop.step(loop). Returns a cancel or nil, as that does.
function Capture:run(loop)
  check_device(loop)
  local key = signature(loop)
  local entry = self.entries[key]
  if entry and not is_current(entry, loop) then
    self:forget(key)
    entry = nil
  end
  if not entry then
    local met = (self.met[key] or 0) + 1
    self.met[key] = met
    if met <= WARM_UP or self.count == MOST then return loop.step(loop) end
    entry = record(loop)
    self.entries[key], self.count = entry, self.count + 1
  end
  replay(entry, loop)
end

function Capture:forget(key)
  local entry = self.entries[key]
  self.entries[key], self.met[key], self.count = nil, nil, self.count - 1
  free(entry)
end

--- Frees every recording.
function Capture:close()
  for key in pairs(self.entries) do self:forget(key) end
  self.met = {}
end

return capture
