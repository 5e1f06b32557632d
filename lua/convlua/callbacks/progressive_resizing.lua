--- progressive_resizing(size): trains on images of another size, usually
-- smaller ones first: a step costs in proportion to the pixels, and what is
-- learnt from few of them holds for many. `size` is a function of (epoch,
-- epochs), both from 1, that gives a size as nn.resize takes it, or nil for
-- images as they are. Validation sees them as they are. The size depends on
-- the epoch alone, so a resumed run needs nothing else. The model has to take
-- images of any size.
--
--   train.progressive_resizing(function(epoch, epochs)
--     if epoch <= epochs // 2 then return 20 end
--   end)

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"
local resize = require "convlua.nn.resize"

local on = {}

function on.batch_start(self, loop)
  if loop.phase ~= "training" then return end
  local size = self.size(loop.epoch_index, loop.epoch_count)
  if size == nil then return end
  -- of images, not of the model: no operand is rounded, whatever the loop's precision
  loop.last_input = core.autograd.precision("float32", core.autograd.no_grad, resize, loop.last_input, { size = size })
end

return function(size)
  if type(size) ~= "function" then
    error(("progressive_resizing: function (epoch, epochs) expected, got %s"):format(type(size)), 2)
  end
  return handler.new("progressive_resizing", on, { size = size })
end
