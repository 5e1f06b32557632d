--- Curves as pictures, SVG and PNG, without any library.
--
--   plot.write("curves.svg", {
--     title = "ResNet18 on CIFAR-10",
--     panels = { { title = "loss", x_label = "epoch",
--       series = { { name = "training", y = { 1.5, 1.2 } }, { name = "validation", y = {...} } } } },
--   })
--
-- A panel draws its series over x = 1, 2, ... or series.x. Numbers that are not finite leave a gap.
-- mark = "max" or "min" in a series puts a number at its best point. The drawing is a list of
-- shapes, which svg.lua and raster.lua know how to show.

local core = require "convlua.core"
local raster = require "convlua.plot.raster"
local svg = require "convlua.plot.svg"

local plot = {}

local ink, faint, grid = "#24292f", "#6e7781", "#e6e9ed"
local palette = { "#1f6fb4", "#e0702c", "#3a923a", "#8d62b3", "#c23b3b", "#7a6a53" }

local PANEL_WIDTH, HEIGHT = 600, 440
local LEFT, RIGHT, TOP, BOTTOM = 68, 24, 84, 54 -- room around the axes of a panel

--- Numbers with few digits that divide a range into about `count` parts: 1, 2 or 5 times a power of
-- ten apart. Returns them and how many decimals they need.
function plot.ticks(low, high, count)
  if high <= low then high = low + 1 end
  local raw = (high - low) / count
  local power = 10 ^ math.floor(math.log(raw, 10))
  local share = raw / power
  local step = power * (share <= 1 and 1 or share <= 2 and 2 or share <= 5 and 5 or 10)
  local ticks = {}
  for i = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do ticks[#ticks + 1] = i * step end
  return ticks, math.max(0, -math.floor(math.log(step, 10) + 1e-9))
end

local function finite(value)
  return type(value) == "number" and value == value and math.abs(value) ~= math.huge
end

--- Range of x and y over all series of a panel, y widened to where something can be read.
local function range(panel)
  local x1, x2, y1, y2 = math.huge, -math.huge, math.huge, -math.huge
  for _, series in ipairs(panel.series) do
    for i = 1, series.n do
      local x, y = series.x and series.x[i] or i, series.y[i]
      if finite(x) and finite(y) then
        x1, x2, y1, y2 = math.min(x1, x), math.max(x2, x), math.min(y1, y), math.max(y2, y)
      end
    end
  end
  if x1 > x2 then return 0, 1, 0, 1 end
  if x1 == x2 then x1, x2 = x1 - 0.5, x2 + 0.5 end
  local room = y2 > y1 and (y2 - y1) * 0.06 or math.max(math.abs(y1), 1) * 0.05
  return x1, x2, panel.low or y1 - room, panel.high or y2 + room
end

local Drawing = {}
Drawing.__index = Drawing

function Drawing:rect(x, y, w, h, color)
  self[#self + 1] = { kind = "rect", x = x, y = y, w = w, h = h, color = color }
end

function Drawing:line(points, width, color)
  self[#self + 1] = { kind = "line", points = points, width = width, color = color }
end

function Drawing:disc(x, y, r, color)
  self[#self + 1] = { kind = "disc", x = x, y = y, r = r, color = color }
end

function Drawing:text(x, y, text, size, anchor, color, bold)
  self[#self + 1] = { kind = "text", x = x, y = y, text = text, size = size, anchor = anchor,
    color = color or ink, bold = bold }
end

local function draw_axes(d, panel, box, map_x, map_y)
  local x_ticks = plot.ticks(box.x1, box.x2, 8)
  local y_ticks, decimals = plot.ticks(box.y1, box.y2, 6)
  for _, y in ipairs(y_ticks) do
    local at = math.floor(map_y(y)) -- on a pixel, so that it is sharp
    d:rect(box.left, at, box.width, 1, grid)
    d:text(box.left - 9, at + 5, ("%." .. decimals .. "f"):format(y), 13, "end", faint)
  end
  for _, x in ipairs(x_ticks) do
    if x == math.floor(x) then
      local at = math.floor(map_x(x))
      d:rect(at, box.top + box.height, 1, 5, faint)
      d:text(at, box.top + box.height + 21, ("%d"):format(x), 13, "middle", faint)
    end
  end
  d:rect(box.left, box.top + box.height, box.width, 1, faint)
  d:text(box.left + box.width / 2, box.top + box.height + 43, panel.x_label or "epoch", 14, "middle")
  d:text(box.left, box.top - 14, panel.title or "", 16, "start", ink, true)
end

--- The series' points as polylines without gaps in them.
local function draw_series(d, series, map_x, map_y)
  local points = {}
  local function flush()
    if #points > 2 then d:line(points, 2.2, series.color) end
    points = {}
  end
  for i = 1, series.n do
    local x, y = series.x and series.x[i] or i, series.y[i]
    if finite(x) and finite(y) then
      points[#points + 1], points[#points + 2] = map_x(x), map_y(y)
      if series.n <= 40 then d:disc(map_x(x), map_y(y), 3, series.color) end
    else
      flush()
    end
  end
  flush()
end

local function best_of(series)
  local best
  for i = 1, series.n do
    local y = series.y[i]
    if finite(y) and (not best or (series.mark == "max" and y > series.y[best])
      or (series.mark == "min" and y < series.y[best])) then best = i end
  end
  return best
end

local function draw_mark(d, series, box, map_x, map_y)
  local i = series.mark and best_of(series)
  if not i then return end
  local x, y = map_x(series.x and series.x[i] or i), map_y(series.y[i])
  d:disc(x, y, 6.5, "#ffffff")
  d:disc(x, y, 5, series.color)
  local far = x > box.left + box.width * 0.75
  local above = series.mark == "max" and y - box.top > 24 or y + 30 > box.top + box.height
  d:text(far and x - 2 or x + 2, y + (above and -13 or 23), ("%.4f"):format(series.y[i]), 13,
    far and "end" or "start", series.color, true)
end

local function draw_legend(d, panel, box)
  local x = box.left + box.width
  for i = #panel.series, 1, -1 do
    local series = panel.series[i]
    d:text(x, box.top - 14, series.name, 13, "end", ink)
    x = x - 7.4 * #series.name - 12
    d:line({ x - 20, box.top - 19, x, box.top - 19 }, 3, series.color)
    x = x - 44
  end
end

local function draw_panel(d, panel, left)
  local box = { left = left + LEFT, top = TOP, width = PANEL_WIDTH - LEFT - RIGHT,
    height = HEIGHT - TOP - BOTTOM }
  for i, series in ipairs(panel.series) do
    series.color = series.color or palette[(i - 1) % #palette + 1]
    series.n = series.n or math.max(#series.y, series.x and #series.x or 0)
  end
  box.x1, box.x2, box.y1, box.y2 = range(panel)
  local function map_x(x) return box.left + (x - box.x1) / (box.x2 - box.x1) * box.width end
  local function map_y(y) return box.top + box.height - (y - box.y1) / (box.y2 - box.y1) * box.height end
  draw_axes(d, panel, box, map_x, map_y)
  for _, series in ipairs(panel.series) do draw_series(d, series, map_x, map_y) end
  for _, series in ipairs(panel.series) do draw_mark(d, series, box, map_x, map_y) end
  draw_legend(d, panel, box)
end

--- The shapes of a figure: {width =, height =, shape, ...}.
function plot.drawing(figure)
  local d = setmetatable({ width = PANEL_WIDTH * #figure.panels, height = HEIGHT }, Drawing)
  d:text(LEFT, 38, figure.title or "", 20, "start", ink, true)
  if figure.subtitle then d:text(d.width - RIGHT, 38, figure.subtitle, 14, "end", faint) end
  for i, panel in ipairs(figure.panels) do draw_panel(d, panel, (i - 1) * PANEL_WIDTH) end
  return d
end

--- Writes a figure; the ending of the path says whether as .svg or .png.
function plot.write(path, figure)
  local drawing = plot.drawing(figure)
  if path:find "%.svg$" then return core.io.write_file(path, svg.text(drawing)) end
  if path:find "%.png$" then
    return core.scope(function() core.io.write_png(path, raster.image(drawing)) end)
  end
  error(("plot: '%s' ends neither in .svg nor in .png"):format(path), 2)
end

--- The figure of a training run, from loop.history: a panel per metric, training and validation.
function plot.of_history(history, title)
  local names, seen, panels = {}, {}, {}
  for _, stats in ipairs(history) do
    for name in pairs(stats) do
      local base = name:gsub("^val_", "")
      if not seen[base] then
        seen[base] = true
        names[#names + 1] = base
      end
    end
  end
  table.sort(names, function(a, b)
    if (a == "loss") ~= (b == "loss") then return a == "loss" end
    return a < b
  end)
  for _, name in ipairs(names) do
    local training, validation, n = {}, {}, #history
    for i, stats in ipairs(history) do
      training[i], validation[i] = stats[name] or 0 / 0, stats["val_" .. name] or 0 / 0
    end
    local mark = name:find "loss" and "min" or "max"
    panels[#panels + 1] = { title = name, series = {
      { name = "training", y = training, n = n },
      { name = "validation", y = validation, n = n, mark = mark },
    } }
  end
  return { title = title or "training", panels = panels }
end

return plot
