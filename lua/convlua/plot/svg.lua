--- A drawing (plot.lua) as SVG 1.1.

local svg = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function number(value)
  return (("%.2f"):format(value):gsub("%.?0+$", ""))
end

local shapes = {}

function shapes.rect(s)
  return ('<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>'):format(number(s.x), number(s.y),
    number(s.w), number(s.h), s.color)
end

function shapes.line(s)
  local points = {}
  for i = 1, #s.points, 2 do
    points[#points + 1] = number(s.points[i]) .. "," .. number(s.points[i + 1])
  end
  local text = '<polyline points="%s" fill="none" stroke="%s" stroke-width="%s" '
    .. 'stroke-linejoin="round" stroke-linecap="round"/>'
  return text:format(table.concat(points, " "), s.color, number(s.width))
end

function shapes.disc(s)
  return ('<circle cx="%s" cy="%s" r="%s" fill="%s"/>'):format(number(s.x), number(s.y), number(s.r),
    s.color)
end

function shapes.text(s)
  local text = '<text x="%s" y="%s" font-size="%s" text-anchor="%s" fill="%s"%s>%s</text>'
  return text:format(number(s.x), number(s.y), number(s.size), s.anchor, s.color,
    s.bold and ' font-weight="bold"' or "", (s.text:gsub('[&<>"]', entities)))
end

function svg.text(drawing)
  local lines = {
    '<?xml version="1.0" encoding="UTF-8"?>',
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
      .. 'font-family="Helvetica, Arial, sans-serif">'):format(drawing.width, drawing.height,
      drawing.width, drawing.height),
    '<rect width="100%" height="100%" fill="#ffffff"/>',
  }
  for _, shape in ipairs(drawing) do lines[#lines + 1] = shapes[shape.kind](shape) end
  lines[#lines + 1] = "</svg>\n"
  return table.concat(lines, "\n")
end

return svg
