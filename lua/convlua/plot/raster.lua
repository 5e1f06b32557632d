--- A drawing (plot.lua) as pixels: lines, discs and texts with smooth edges, on white.

local core = require "convlua.core"
local font = require "convlua.plot.font"

local raster = {}

local floor, sqrt, min, max = math.floor, math.sqrt, math.min, math.max

local function rgb(color)
  local n = tonumber(color:match "^#(%x%x%x%x%x%x)$", 16)
  return n >> 16, n >> 8 & 255, n & 255
end

-- pixels[y * width + x + 1] = 0xRRGGBB
local Canvas = {}
Canvas.__index = Canvas

local function new_canvas(width, height)
  local pixels = {}
  for i = 1, width * height do pixels[i] = 0xFFFFFF end
  return setmetatable({ width = width, height = height, pixels = pixels }, Canvas)
end

function Canvas:blend(x, y, r, g, b, share)
  local i = y * self.width + x + 1
  local old = self.pixels[i]
  if share >= 1 then
    self.pixels[i] = r << 16 | g << 8 | b
    return
  end
  local old_r, old_g, old_b = old >> 16, old >> 8 & 255, old & 255
  self.pixels[i] = floor(old_r + (r - old_r) * share + 0.5) << 16
    | floor(old_g + (g - old_g) * share + 0.5) << 8 | floor(old_b + (b - old_b) * share + 0.5)
end

function Canvas:rect(x, y, w, h, color)
  local r, g, b = rgb(color)
  local pixel = r << 16 | g << 8 | b
  for row = max(0, floor(y + 0.5)), min(self.height, floor(y + h + 0.5)) - 1 do
    for column = max(0, floor(x + 0.5)), min(self.width, floor(x + w + 0.5)) - 1 do
      self.pixels[row * self.width + column + 1] = pixel
    end
  end
end

--- One piece of a line with round ends. Each row is visited only where the line can be.
function Canvas:segment(x1, y1, x2, y2, width, color)
  local r, g, b = rgb(color)
  local reach = width / 2 + 0.5
  local dx, dy = x2 - x1, y2 - y1
  local squared = dx * dx + dy * dy
  for row = max(0, floor(min(y1, y2) - reach)), min(self.height - 1, floor(max(y1, y2) + reach)) do
    local cy = row + 0.5
    local left, right = min(x1, x2) - reach, max(x1, x2) + reach
    if dy ~= 0 and squared > 0 then -- where the band around the line crosses this row
      local a = x1 + dx * min(1, max(0, (cy - reach - y1) / dy))
      local c = x1 + dx * min(1, max(0, (cy + reach - y1) / dy))
      local slant = reach * sqrt(squared) / math.abs(dy)
      left, right = max(left, min(a, c) - slant), min(right, max(a, c) + slant)
    end
    for column = max(0, floor(left)), min(self.width - 1, floor(right)) do
      local px, py = column + 0.5 - x1, cy - y1
      local t = squared > 0 and min(1, max(0, (px * dx + py * dy) / squared)) or 0
      local ex, ey = px - t * dx, py - t * dy
      local share = reach - sqrt(ex * ex + ey * ey)
      if share > 0 then self:blend(column, row, r, g, b, share) end
    end
  end
end

function Canvas:line(points, width, color)
  for i = 1, max(1, #points - 3), 2 do
    self:segment(points[i], points[i + 1], points[i + 2] or points[i], points[i + 3] or points[i + 1],
      width, color)
  end
end

function Canvas:text(x, y, text, size, anchor, color, bold)
  local width = font.width(text, size)
  if anchor == "middle" then x = x - width / 2 elseif anchor == "end" then x = x - width end
  local stroke = size * (bold and 0.145 or 0.1)
  font.each_stroke(text, x, y, size, function(points) self:line(points, stroke, color) end)
end

local draw = {
  rect = function(c, s) c:rect(s.x, s.y, s.w, s.h, s.color) end,
  line = function(c, s) c:line(s.points, s.width, s.color) end,
  disc = function(c, s) c:segment(s.x, s.y, s.x, s.y, 2 * s.r, s.color) end,
  text = function(c, s) c:text(s.x, s.y, s.text, s.size, s.anchor, s.color, s.bold) end,
}

--- uint8 {height, width, 3}
function raster.image(drawing)
  local canvas = new_canvas(drawing.width, drawing.height)
  for _, shape in ipairs(drawing) do draw[shape.kind](canvas, shape) end
  local rows, char = {}, string.char
  for row = 0, canvas.height - 1 do
    local parts = {}
    for column = 1, canvas.width do
      local pixel = canvas.pixels[row * canvas.width + column]
      parts[column] = char(pixel >> 16, pixel >> 8 & 255, pixel & 255)
    end
    rows[row + 1] = table.concat(parts)
  end
  return core.from_bytes(table.concat(rows), { canvas.height, canvas.width, 3 }, "uint8")
end

return raster
