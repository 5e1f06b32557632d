--- nn.views(model, { flip = false, shift = 0 }): a function that looks at images {N, H, W, C} more
-- than once and gives the mean of the model's outputs: test-time augmentation.
--
--   flip    also at the mirror image
--   shift   also moved by so many pixels towards both corners, up left and down right, the edge
--           reflected; the unmoved views then count half, each of the two moves a quarter
--
--   model:eval()
--   train.evaluate(nn.views(model, { flip = true, shift = 1 }), set.validation)

local options = require "convlua.nn.options"

return function(model, given)
  local o = options.read(given, { flip = false, shift = 0 }, "views")
  local function look(x)
    if not o.flip then return model(x) end
    return (model(x) + model(x:flip(3))) * 0.5
  end
  if o.shift == 0 then return look end
  return function(x)
    local d, height, width = o.shift, x.shape[2], x.shape[3]
    local wide = x:pad({ { 0, 0 }, { d, d }, { d, d }, { 0, 0 } }, { mode = "reflect" })
    local up = wide:slice(2, 2 * d + 1, 2 * d + height):slice(3, 2 * d + 1, 2 * d + width)
    local down = wide:slice(2, 1, height):slice(3, 1, width)
    return look(x) * 0.5 + (look(up) + look(down)) * 0.25
  end
end
