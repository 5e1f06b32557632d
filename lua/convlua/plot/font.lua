--- A font of strokes, for pictures made without any library: each glyph is a few polylines on a grid.
-- A point is two digits, x then y upwards: y = 0 is the bottom of a descender, 2 the base line, 6
-- the top of small letters, 8 of capitals.

local glyphs = {
  a = "46 42/45 36 16 05 03 12 32 43", b = "08 02/05 16 36 45 43 32 12 03",
  c = "45 36 16 05 03 12 32 43", d = "48 42/45 36 16 05 03 12 32 43",
  e = "04 44 45 36 16 05 03 12 32 43", f = "38 28 17 12/06 36",
  g = "46 41 30 10 01/45 36 16 05 03 12 32 43", h = "08 02/05 16 36 45 42", i = "06 02/08 08",
  j = "16 11 00/18 18", k = "08 02/36 03/14 32", l = "08 02",
  m = "06 02/05 16 26 35 32/35 46 56 65 62", n = "06 02/05 16 36 45 42",
  o = "12 32 43 45 36 16 05 03 12", p = "06 00/05 16 36 45 43 32 12 03",
  q = "46 40/45 36 16 05 03 12 32 43", r = "06 02/05 16 36", s = "45 36 16 05 14 34 43 32 12 03",
  t = "18 13 22 32/06 36", u = "06 03 12 32 43/46 42", v = "06 22 46", w = "06 12 26 32 46",
  x = "06 42/46 02", y = "06 22/46 10 00", z = "06 46 02 42",
  A = "02 28 42/14 34", B = "02 08 38 47 46 35 05/35 44 43 32 02", C = "47 38 18 07 03 12 32 43",
  D = "02 08 28 46 44 22 02", E = "48 08 02 42/05 35", F = "48 08 02/05 35",
  G = "47 38 18 07 03 12 32 43 45 25", H = "08 02/48 42/05 45", I = "08 02", J = "38 33 22 12 03",
  K = "08 02/48 04/15 42", L = "08 02 42", M = "02 08 25 48 42", N = "02 08 42 48",
  O = "12 32 43 47 38 18 07 03 12", P = "02 08 38 47 46 35 05",
  Q = "12 32 43 47 38 18 07 03 12/24 42", R = "02 08 38 47 46 35 05/25 42",
  S = "47 38 18 07 06 15 35 44 43 32 12 03", T = "08 48/28 22", U = "08 03 12 32 43 48",
  V = "08 22 48", W = "08 12 26 32 48", X = "08 42/48 02", Y = "08 25 48/25 22", Z = "08 48 02 42",
  ["0"] = "12 32 43 47 38 18 07 03 12", ["1"] = "07 28 22", ["2"] = "07 18 38 47 46 02 42",
  ["3"] = "07 18 38 47 46 35 15/35 44 43 32 12 03", ["4"] = "32 38 04 44",
  ["5"] = "48 08 05 35 44 43 32 12 03", ["6"] = "47 38 18 07 03 12 32 43 44 35 15 04",
  ["7"] = "08 48 12", ["8"] = "15 06 07 18 38 47 46 35 15 04 03 12 32 43 44 35",
  ["9"] = "03 12 32 43 47 38 18 07 06 15 35 46",
  ["."] = "02 02", [","] = "12 01", ["-"] = "05 35", ["+"] = "05 45/27 23", ["/"] = "01 38",
  [":"] = "03 03/06 06", ["("] = "18 07 02 11", [")"] = "08 17 12 01", ["_"] = "01 41",
  ["="] = "04 44/06 46", ["%"] = "02 48/07 08 18 17 07/32 42 43 33 32", ["'"] = "08 07",
  ["<"] = "36 04 32", [">"] = "06 34 02", ["["] = "18 08 01 11", ["]"] = "08 18 11 01",
  ["*"] = "26 22/05 43/45 03", ["!"] = "08 04/02 02", ["?"] = "07 18 38 47 46 24/22 22",
}

local font = { ascent = 6, descent = 2, unknown = "02 08 38 32 02" }

local parsed = {}

--- {width =, strokes = {{x, y, x, y, ...}, ...}}, y from the base line; width with the gap behind.
local function glyph(c)
  if parsed[c] then return parsed[c] end
  local result = { width = 0, strokes = {} }
  for stroke in (glyphs[c] or c == " " and "" or font.unknown):gmatch "[^/]+" do
    local points = {}
    for x, y in stroke:gmatch "(%d)(%d)" do
      points[#points + 1], points[#points + 2] = tonumber(x), tonumber(y) - font.descent
      result.width = math.max(result.width, tonumber(x))
    end
    result.strokes[#result.strokes + 1] = points
  end
  if c:find "%d" then result.width = 4 end -- figures stand under each other
  result.width = c == " " and 3.2 or result.width + 2
  parsed[c] = result
  return result
end

--- Pixels of a unit of the grid, where the size of a text is the height of a line's letters.
local function unit(size)
  return size / 8.4
end

function font.width(text, size)
  local width = 0
  for c in text:gmatch(utf8.charpattern) do width = width + glyph(c).width end
  return math.max(0, width - 2) * unit(size)
end

--- Calls draw(points) for every stroke of a text whose base line starts at (x, y), y downwards.
function font.each_stroke(text, x, y, size, draw)
  local u = unit(size)
  for c in text:gmatch(utf8.charpattern) do
    local g = glyph(c)
    for _, stroke in ipairs(g.strokes) do
      local points = {}
      for i = 1, #stroke, 2 do
        points[i], points[i + 1] = x + stroke[i] * u, y - stroke[i + 1] * u
      end
      draw(points)
    end
    x = x + g.width * u
  end
end

return font
