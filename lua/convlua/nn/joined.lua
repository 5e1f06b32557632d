--- Two layers in one pass over memory: a convolution and what stands behind it.
--
--   joined(part, after) -> f or nil      f(part, after, x) = after(part(x))
-- In inference, with no gradient recorded, a convolution and a BatchNorm (core.conv_norm); always, a
-- convolution and a pooling (core.conv_pool). Both take any layer of these kinds, and do them one after
-- the other where there is no kernel for both or somebody watches.

local core = require "convlua.core"

local function is_layer(part) return type(part) == "userdata" end

return function(part, after)
  if not (is_layer(part) and is_layer(after)) then return nil end
  local follows = after.type
  if follows == "BatchNorm" then
    if core.autograd.enabled() or not part.type:find("Conv", 1, true) then return nil end
    return core.conv_norm
  end
  if follows:find("^%u%l%lPool") and part.type:find("^Conv") then return core.conv_pool end
end
