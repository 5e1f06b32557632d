--- What happens to an input on its way through a model: model:summary{ 32, 32, 3 }.
--
-- A batch of one image of zeros goes through in the inference phase, and every call of a layer is
-- noted; so it is right for any model, however its forward is written. The result is a table:
--   rows[i] = { path =, layer = "Conv2D", output_shape = {16, 16, 64}, parameters =,
--               multiply_adds =, receptive_field = {7, 7} or "all" }   in the order of the calls
--   parameters, multiply_adds            of the whole model, for one image
--   input_shape, output_shape            without the batch's axis
-- tostring of it is the table for the eye. A layer that is called again has its parameters in the
-- first row. Multiply-adds are those of convolutions and dense layers; the rest is small beside
-- them.

local core = require "convlua.core"
local field = require "convlua.nn.field"
local text = require "convlua.nn.text"
local trace = require "convlua.nn.trace"
local tree = require "convlua.nn.tree"

local Summary = {}
Summary.__index = Summary

local headings = { "part", "layer", "output", "parameters", "multiply-adds", "receptive field" }
local right = { [4] = true, [5] = true } -- columns of numbers

local function cells(row)
  return {
    row.path, row.layer, text.shape(row.output_shape), text.count(row.parameters),
    text.count(row.multiply_adds), row.field_text,
  }
end

function Summary:__tostring()
  local lines = { headings }
  for _, row in ipairs(self.rows) do lines[#lines + 1] = cells(row) end
  lines[#lines + 1] = {
    "total", "", text.shape(self.output_shape), text.count(self.parameters),
    text.count(self.multiply_adds), "",
  }
  local width = {}
  for _, line in ipairs(lines) do
    for i, cell in ipairs(line) do width[i] = math.max(width[i] or 0, #cell) end
  end
  local out = { ("%s, input %s"):format(self.model, text.shape(self.input_shape)) }
  for k, line in ipairs(lines) do
    local padded = {}
    for i, cell in ipairs(line) do
      local gap = (" "):rep(width[i] - #cell)
      padded[i] = right[i] and gap .. cell or cell .. gap
    end
    if k == #lines then out[#out + 1] = ("-"):rep(#table.concat(padded, "  ")) end
    out[#out + 1] = (table.concat(padded, "  "):gsub("%s+$", ""))
  end
  return table.concat(out, "\n")
end

--- Calls f() with the whole model in the inference phase and puts every part back as it was.
local function in_inference(model, f)
  local former = {}
  tree.walk(model, function(_, part, kind)
    if kind ~= "tensor" then former[part] = part.training end
  end)
  model:eval()
  local ok, problem = pcall(f)
  for part, training in pairs(former) do
    if tree.kind(part) == "module" then
      part.training = training
    elseif training then
      part:train()
    end
  end
  if not ok then error(problem, 0) end
end

local function without_batch(shape)
  return table.move(shape, 2, #shape, 1, {})
end

--- A batch of one, of the type and on the device of the model's parameters.
local function input_for(model, shape)
  local _, tensor = tree.each(model, "parameter")()
  local options = tensor and { dtype = tensor.dtype, device = tensor.device } or {}
  return core.zeros({ 1, table.unpack(shape) }, options)
end

local Recorder = {}
Recorder.__index = Recorder

--- The field of an input: its own, or, when a function outside of the tensors' methods made it,
-- that of the last layer.
function Recorder:field_of(inputs)
  local seen
  for i = 1, inputs.n do
    if core.is_tensor(inputs[i]) then seen = field.union(seen, self.known[inputs[i]]) end
  end
  return seen or self.last
end

function Recorder:note(part, inputs, output)
  if not core.is_tensor(output) then return end
  if tree.kind(part) ~= "layer" then
    self.known[output] = self.known[output] or self.last
    return
  end
  local seen = field.after(part, self:field_of(inputs), output)
  self.known[output], self.last = seen, seen
  local _, multiply_adds = part:multiply_adds(inputs[1].shape)
  local first = not self.counted[part]
  self.counted[part] = true
  self.rows[#self.rows + 1] = {
    path = self.paths[part] or "(not a part)",
    layer = part.type,
    output_shape = without_batch(output.shape),
    parameters = first and tree.parameter_count(part) or 0,
    multiply_adds = multiply_adds,
    receptive_field = seen == "all" and seen or seen.size,
    field_text = field.text(seen),
  }
end

local function of(model, input_shape)
  if type(input_shape) ~= "table" or #input_shape == 0 then
    error("summary: the shape of one input expected, such as {32, 32, 3}, got " ..
      (type(input_shape) == "table" and "{}" or type(input_shape)), 3)
  end
  local recorder = setmetatable({
    rows = {}, counted = {}, paths = tree.paths(model), known = {},
    last = field.of_input(#input_shape - 1),
  }, Recorder)
  if recorder.paths[model] == "" then
    recorder.paths[model] = tree.kind(model) == "layer" and "(itself)" or ""
  end
  local result = setmetatable({
    model = model.__name or model.type,
    input_shape = table.move(input_shape, 1, #input_shape, 1, {}),
    rows = recorder.rows, multiply_adds = 0, parameters = tree.parameter_count(model),
  }, Summary)
  in_inference(model, function()
    core.scope(function()
      local x = input_for(model, input_shape)
      recorder.known[x] = recorder.last
      local function tell(part, inputs, output) recorder:note(part, inputs, output) end
      local y = core.autograd.no_grad(field.follow, recorder.known, trace.watch, tell, model, x)
      result.output_shape = without_batch(y.shape)
    end)
  end)
  for _, row in ipairs(result.rows) do
    result.multiply_adds = result.multiply_adds + row.multiply_adds
  end
  return result
end

return { of = of }
