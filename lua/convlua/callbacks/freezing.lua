--- freezing(frozen): layers that do not learn in some epochs, usually the first ones in the last epochs:
-- that saves their gradients and those of all that lies before them, and they settle early (Brock et al.
-- 2017, FreezeOut, arXiv:1706.04983). `frozen` is a function of (epoch, epochs), both from 1, that gives a
-- list of layers and modules, or nil. Statistics of batch normalization go on. What is frozen depends on the
-- epoch alone, so a resumed run needs nothing else; after the fit all is as it was before.
--
--   train.freezing(function(epoch, epochs)
--     if epoch > epochs - 3 then return { model.stem, model.blocks[1] } end
--   end)

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"
local tree = require "convlua.nn.tree"

local function thaw(self)
  for _, parameter in ipairs(self.held) do parameter.requires_grad = true end
  self.held = {}
end

local on = {}

function on.fit_start(self) thaw(self) end -- what a fit left that ended in an error

function on.epoch_start(self, loop)
  local layers = self.frozen(loop.epoch_index, loop.epoch_count)
  thaw(self)
  if layers == nil then return end
  if tree.kind(layers) ~= "table" then
    error(("a list of layers and modules expected, got %s"):format(tree.kind(layers) or type(layers)), 0)
  end
  for i, layer in ipairs(layers) do
    local kind = tree.kind(layer)
    if kind ~= "module" and kind ~= "layer" then
      error(("%d in the list: a layer or a module expected, got %s"):format(i, kind or type(layer)), 0)
    end
  end
  for _, parameter in tree.each(layers, "parameter") do
    if parameter.requires_grad then
      parameter.requires_grad, parameter.grad = false, nil
      self.held[#self.held + 1] = core.keep(parameter)
    end
  end
end

function on.fit_end(self) thaw(self) end

return function(frozen)
  if type(frozen) ~= "function" then
    error(("freezing: function (epoch, epochs) expected, got %s"):format(type(frozen)), 2)
  end
  return handler.new("freezing", on, { frozen = frozen, held = {} })
end
