--- Learning rates over time. A schedule is a function (step, steps) -> learning rate, where `step`
-- counts from 0 and `steps` is how many there will be in all; it remembers nothing, so a resumed
-- run needs no more than its step. Whatever maps numbers to numbers in this way is a schedule.
--
--   local rate = schedule.warm_up{ steps = 500, schedule.cosine{ start = 0.1 } }
--   callbacks = { train.lr_schedule(rate) }
--
-- Lengths ("every", "steps", "at") below 1 are fractions of the whole, else numbers of steps.

local schedule = {}

local function check(who, o, names)
  if type(o) ~= "table" then error(("%s: a table of options expected, got %s"):format(who, type(o)), 3) end
  for key in pairs(o) do
    if type(key) == "string" and names[key] == nil then
      local known = {}
      for name in pairs(names) do known[#known + 1] = name end
      table.sort(known)
      error(("%s: unknown option '%s'; there are %s"):format(who, key, table.concat(known, ", ")), 3)
    end
  end
  for name, default in pairs(names) do
    local value = o[name]
    if value == nil and default == "required" then error(("%s: option '%s' is missing"):format(who, name), 3) end
    if value ~= nil and type(default) == "number" and type(value) ~= "number" then
      error(("%s: option '%s' must be a number, got %s"):format(who, name, type(value)), 3)
    end
  end
  return setmetatable({}, { __index = function(_, name)
    if o[name] ~= nil then return o[name] end
    if names[name] ~= "required" then return names[name] end
  end })
end

--- A length in steps, from one that may be a fraction of `steps`.
local function length(value, steps)
  return value < 1 and value * steps or value
end

local function mix(a, b, t)
  return a + (b - a) * t
end

local function progress(step, steps) -- 0 at the first step, 1 behind the last
  return math.min(1, step / math.max(1, steps))
end

function schedule.constant(rate)
  if type(rate) ~= "number" then error(("constant: a number expected, got %s"):format(type(rate)), 2) end
  return function() return rate end
end

--- start * factor^floor(step / every)
function schedule.step(o)
  o = check("step", o, { start = "required", factor = 0.1, every = "required" })
  return function(step, steps)
    return o.start * o.factor ^ math.floor(step / length(o.every, steps))
  end
end

--- start * factor^(how many of the places `at` have been passed)
function schedule.multi_step(o)
  o = check("multi_step", o, { start = "required", factor = 0.1, at = "required" })
  return function(step, steps)
    local passed = 0
    for _, place in ipairs(o.at) do
      if step >= length(place, steps) then passed = passed + 1 end
    end
    return o.start * o.factor ^ passed
  end
end

--- start * factor^(step / every), continuous
function schedule.exponential(o)
  o = check("exponential", o, { start = "required", factor = "required", every = 1 })
  return function(step) return o.start * o.factor ^ (step / o.every) end
end

--- From start to finish as (1 - t)^power; power 1 is a straight line.
function schedule.polynomial(o)
  o = check("polynomial", o, { start = "required", finish = 0, power = 1 })
  return function(step, steps)
    return o.finish + (o.start - o.finish) * (1 - progress(step, steps)) ^ o.power
  end
end

--- Half a cosine from start to finish, begun anew `restarts` times.
-- Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5.
function schedule.cosine(o)
  o = check("cosine", o, { start = "required", finish = 0, restarts = 0 })
  return function(step, steps)
    local t = progress(step, steps) * (o.restarts + 1)
    if t < o.restarts + 1 then t = t % 1 else t = 1 end
    return o.finish + (o.start - o.finish) * (1 + math.cos(math.pi * t)) / 2
  end
end

--- A triangle: start to peak in the first `rise` of the steps, then down to finish.
-- Smith 2018, arXiv:1803.09820, with a straight descent to nearly nothing.
function schedule.one_cycle(o)
  o = check("one_cycle", o, { peak = "required", start = false, finish = 0, rise = 0.3 })
  local start = o.start or o.peak * 0.15
  return function(step, steps)
    local top = length(o.rise, steps)
    if step < top then return mix(start, o.peak, step / top) end
    return mix(o.peak, o.finish, math.min(1, (step - top) / math.max(1, steps - top)))
  end
end

--- A straight line from `start` up to what the schedule inside gives at its first step; the schedule
-- inside then has the remaining steps to itself.
function schedule.warm_up(o)
  local inside = o[1]
  if type(inside) ~= "function" then error("warm_up: a schedule expected, as warm_up{ steps = n, schedule }", 2) end
  o = check("warm_up", o, { steps = "required", start = 0 })
  return function(step, steps)
    local n = length(o.steps, steps)
    if step < n then return mix(o.start, inside(0, steps - n), step / n) end
    return inside(step - n, steps - n)
  end
end

local shapes = {
  linear = function(t) return t end,
  cosine = function(t) return (1 - math.cos(math.pi * t)) / 2 end,
  constant = function() return 0 end,
}

--- One piece behind the other: segments{ { shape = "linear", start = 0, finish = 1, steps = 0.25 },
-- ... }. A piece without `start` goes on from where the one before it ended; without `steps` it
-- takes what is left. Shapes: linear, cosine, constant.
function schedule.segments(list)
  local last
  for i, piece in ipairs(list) do
    local where = ("segments: piece %d"):format(i)
    check(where, piece, { shape = "linear", start = false, finish = false, steps = false })
    if not shapes[piece.shape or "linear"] then
      error(("%s: unknown shape '%s'; there are linear, cosine, constant"):format(where, piece.shape), 2)
    end
    if not (piece.start or last) then error(where .. ": 'start' is missing", 2) end
    last = piece.finish or piece.start or last
  end
  if not last then error("segments: a list of pieces expected", 2) end
  return function(step, steps)
    local at, value = 0, nil
    for _, piece in ipairs(list) do
      local n = piece.steps and length(piece.steps, steps) or math.max(1, steps - at)
      local start = piece.start or value
      local finish = piece.finish or start
      if step < at + n then return mix(start, finish, shapes[piece.shape or "linear"]((step - at) / n)) end
      at, value = at + n, finish
    end
    return value
  end
end

return schedule
