--- nn.Module: models written in Lua.
--
--   local ConvBN = nn.Module("ConvBN", function(self, o)
--     self.conv = nn.Conv2D{ filter_shape = o.filter_shape, padding = "same", use_bias = false }
--     self.norm = nn.BatchNorm{ feature_count = o.filter_shape[4] }
--   end)
--   function ConvBN:forward(x) return self.norm(self.conv(x)) end
--
--   local block = ConvBN{ filter_shape = { 3, 3, 16, 32 } }      constructs
--   local y = block(x)                                           calls forward
--
-- nn/tree.lua says which fields count as parts. `self.training` tells the learning phase.
-- Layers, which are written in C, have the methods below too, so that a lone layer is a model.

local core = require "convlua.core"
local checkpoint = require "convlua.nn.checkpoint"
local text = require "convlua.nn.text"
local trace = require "convlua.nn.trace"
local tree = require "convlua.nn.tree"

local methods = {}

function methods:forward()
  error(("module '%s' has no forward; define function %s:forward(x)"):format(self.__name,
    self.__name), 2)
end

--- List of the parameters, in the order of their paths.
function methods:parameters()
  local list = {}
  for _, tensor in tree.each(self, "parameter") do list[#list + 1] = tensor end
  return list
end

--- for path, tensor in model:named_parameters() do ... end
function methods:named_parameters() return tree.each(self, "parameter") end

function methods:buffers()
  local list = {}
  for _, tensor in tree.each(self, "buffer") do list[#list + 1] = tensor end
  return list
end

--- for path, tensor in model:named_buffers() do ... end
function methods:named_buffers() return tree.each(self, "buffer") end

--- for path, part in model:named_parts() do ... end: the modules and layers, the model itself under
-- the path "".
function methods:named_parts()
  local list, i = {}, 0
  tree.walk(self, function(path, part, kind)
    if kind ~= "tensor" then list[#list + 1] = { path, part } end
  end)
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

--- How many numbers there are to train.
function methods:count_parameters() return tree.parameter_count(self) end

local function set_phase(model, training)
  tree.walk(model, function(_, part, kind)
    if kind == "module" then
      rawset(part, "training", training)
    elseif kind == "layer" then
      if training then part:train() else part:eval() end
    end
  end)
  return model
end

--- The learning phase: dropout drops, BatchNorm takes the batch's statistics and updates its own.
function methods:train() return set_phase(self, true) end

--- The inference phase: nothing random, running statistics.
function methods:eval() return set_phase(self, false) end

--- Forgets the gradients.
function methods:zero_grad()
  for _, tensor in tree.each(self, "parameter") do tensor.grad = nil end
  return self
end

--- Moves parameters and buffers to a device ("cuda") or turns them into another floating type
-- ("float64"). They become new tensors: make the optimizer afterwards.
function methods:to(where)
  core.autograd.no_grad(function()
    tree.replace(self, function(tensor)
      local kept = tensor:to(where)
      if rawequal(kept, tensor) then return tensor end
      kept.requires_grad = tensor.requires_grad
      return core.keep(kept)
    end, function(layer) layer:to(where) end)
  end)
  return self
end

--- path -> tensor: parameters and buffers, themselves and not copies.
function methods:state() return checkpoint.state(self) end

--- Copies such a table into the model; names and shapes must agree. `source` names it in the error.
function methods:load_state(state, source)
  checkpoint.load_state(self, state, source)
  return self
end

--- All parameters and buffers into an .npz file, by path.
function methods:write_checkpoint(path)
  checkpoint.write(self, path)
  return self
end

--- From a file; when it does not fit, an error lists why and the model stays as it was.
function methods:read_checkpoint(path)
  checkpoint.read(self, path)
  return self
end

--- A table of what happens to an input of that shape (without the batch's axis); printed, it is the
-- summary: model:summary{ 32, 32, 3 }. See nn/summary.lua for its fields.
function methods:summary(input_shape)
  return require "convlua.nn.summary".of(self, input_shape)
end

--- The classes -----------------------------------------------------------------------------------

local function construct(class, ...)
  local self = setmetatable({ training = true }, class)
  local init = class.init
  if init then init(self, ...) end
  return self
end

--- A class of modules. init(self, ...) gets what the class is called with, by habit one table.
local function Module(name, init)
  if type(name) ~= "string" then
    error("nn.Module: the class's name expected, got " .. type(name), 2)
  elseif init ~= nil and type(init) ~= "function" then
    error("nn.Module: function(self, options) expected, got " .. type(init), 2)
  end
  local class = {
    __name = name,
    __is_module = true,
    __call = trace.call,
    __tostring = text.tree,
    init = init,
  }
  class.__index = class
  return setmetatable(class, {
    __index = methods,
    __call = construct,
    __tostring = function() return "nn.Module " .. name end,
  })
end

return { Module = Module, methods = methods }
