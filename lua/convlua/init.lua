--- convlua: tensors, layers, automatic differentiation and training, scripted in Lua.
-- The C half is convlua.core; the parts written in Lua are loaded when first used.

local core = require "convlua.core"

local convlua = { _VERSION = "convlua 0.1.0" }

-- Everything of the core that is a function is the module's too: zeros, randn, relu, conv2d, ...
for name, value in pairs(core) do
  if type(value) == "function" then convlua[name] = value end
end
convlua.no_grad = core.autograd.no_grad
convlua.with_grad = core.autograd.with_grad
convlua.device = core.device
convlua.memory = core.memory
convlua.linalg = core.linalg

require "convlua.tensor"

local parts = {
  nn = true, optim = true, train = true, data = true, autograd = true, metrics = true,
  schedule = true, io = true, help = true, doctor = true, plot = true,
}

return setmetatable(convlua, {
  __index = function(self, name)
    if not parts[name] then return nil end
    local part = require("convlua." .. name)
    rawset(self, name, part)
    return part
  end,
})
