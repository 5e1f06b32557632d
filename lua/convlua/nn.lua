--- convlua.nn: layers, modules, activations, losses.
--
--   nn.Conv2D{...}, nn.Dense{...}, ...   layers, written in C
--   nn.Module(name, init)                a class of modules written in Lua (nn/module.lua)
--   nn.Sequential, Function, Residual    modules made of modules (nn/sequential.lua)
--   nn.relu, nn.gelu, ...                activations, for Sequential and as functions
--   nn.softmax_cross_entropy, nn.mse ... losses (losses.lua)
--   nn.views(model, {...})               the mean over several views of an image (nn/views.lua)
--   nn.resize(x, {...})                  images of another size (nn/resize.lua)
--   nn.options(given, defaults, who)     options of modules (nn/options.lua)
--   nn.conv_norm(conv, norm, x, residual)  norm(conv(x), residual), as one op
--   nn.conv_pool(conv, pool, x)          pool(conv(x)), in one pass where that is faster
--   nn.watch(tell, f, ...)               see every layer at work (nn/trace.lua)

local core = require "convlua.core"
local containers = require "convlua.nn.sequential"
local losses = require "convlua.losses"
local module = require "convlua.nn.module"
local options = require "convlua.nn.options"
local trace = require "convlua.nn.trace"

local nn = {
  Module = module.Module,
  options = options.read, required = options.required, optional = options.optional,
  choice = options.choice,
  watch = trace.watch, conv_norm = core.conv_norm, conv_pool = core.conv_pool,
  views = require "convlua.nn.views", resize = require "convlua.nn.resize",
}

for _, layer in ipairs(core.layers()) do nn[layer.name] = layer.call end
for name, class in pairs(containers) do nn[name] = class end
for name, loss in pairs(losses) do nn[name] = loss end

for _, name in ipairs {
  "identity", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_swish",
  "hard_sigmoid", "mish", "sigmoid", "log_sigmoid", "softplus", "softsign", "softmax",
  "log_softmax", "tanh",
} do
  nn[name] = core[name]
end
nn.swish = nn.silu

-- A lone layer is a model too: what modules can do and layers cannot yet.
for name, method in pairs(module.methods) do
  if core.layer_methods[name] == nil then core.layer_methods[name] = method end
end

return nn
