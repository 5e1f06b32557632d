--- What the parts of bench.lua share: measuring, telling, and PyTorch in turns with convlua.
-- tools(options) -> { options, results, measure, note, line, wanted, found, compare }; found: some size was wanted

local convlua = require "convlua"
local core = require "convlua.core"
local json = require "convlua.json"
local clock = core.system.clock

local function spread(times)
  table.sort(times)
  return { min = times[1], median = times[(#times + 1) // 2], max = times[#times], count = #times }
end

local folder = arg[0]:match "^(.*)/[^/]*$" or "."

-- The ways in which PyTorch is run: its best is the better of the last two.
local ways = {
  { name = "installed", layout = "default", env = "" },
  { name = "default", layout = "default", env = "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1" },
  { name = "channels_last", layout = "channels_last",
    env = "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1" },
}

return function(o)
  local bench = { options = o, results = { threads = convlua.threads(), isa = core.isa(),
    blas = core.env.blas(), measurements = json.array() } }

  --- Runs `step` again and again; it may return the seconds of what counts in it.
  -- seconds: how long, o.seconds when left out -> {min, median, max, count}, in seconds
  function bench.measure(step, seconds)
    step()
    local times, start = {}, clock()
    while #times < 3 or clock() - start < (seconds or o.seconds) do
      local begin = clock()
      local inner = convlua.scope(step)
      times[#times + 1] = type(inner) == "number" and inner or clock() - begin
    end
    return spread(times)
  end

  function bench.note(name, entry)
    entry.name = name
    table.insert(bench.results.measurements, entry)
  end

  function bench.line(name, text, ...)
    print(("%-34s %s"):format(name, text:format(...)))
  end

  --- Whether `--only` leaves a measurement of this title in.
  function bench.wanted(title)
    if not o.only then return true end
    for text in o.only:gmatch "[^,]+" do
      if title:find(text, 1, true) then
        bench.found = true
        return true
      end
    end
    return false
  end

  local function in_torch(part, what, batch_size, way)
    local command = ("env -u OPENBLAS_NUM_THREADS -u OPENBLAS_CORETYPE %s %s '%s/bench_torch.py' %s %s %d %d %s %g"
      .. " 2>/dev/null"):format(way.env, o.python, folder, part, what, batch_size, convlua.threads(),
      way.layout, o.seconds)
    local pipe = assert(io.popen(command))
    local text = pipe:read "a"
    pipe:close()
    local ok, result = pcall(json.decode, text)
    return ok and result or nil
  end

  --- PyTorch's {way = result} of one round, or nil where there is no PyTorch.
  local function round_in_torch(part, what, batch_size)
    local found = {}
    for _, way in ipairs(ways) do
      found[way.name] = in_torch(part, what, batch_size, way)
      if not found[way.name] then
        print(("no PyTorch in %s; --python names another"):format(o.python))
        return nil
      end
    end
    return found
  end

  --- convlua and PyTorch in turns, so that both see the same minutes of the machine.
  -- steps: {name = function}, with the names that bench_torch.py gives the part's steps
  function bench.compare(title, part, what, batch_size, steps)
    if not o.vs_torch then return end
    local found = {}
    for name in pairs(steps) do found[name] = { ours = {}, best = {}, installed = {}, ratios = {} } end
    for _ = 1, o.rounds do
      local times = {}
      for name, step in pairs(steps) do times[name] = bench.measure(step).median end
      local other = round_in_torch(part, what, batch_size)
      if not other then return end
      for name, f in pairs(found) do
        local best = math.min(other.default[name].median, other.channels_last[name].median)
        table.insert(f.ours, times[name])
        table.insert(f.best, best)
        table.insert(f.installed, other.installed[name].median)
        table.insert(f.ratios, best / times[name])
      end
      bench.results.torch = other.default.version
    end
    local names = {}
    for name in pairs(found) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
      local f = found[name]
      local ours, best, installed, ratio = spread(f.ours), spread(f.best), spread(f.installed),
        spread(f.ratios)
      local whole = #names > 1 and title .. " " .. name or title
      bench.note(whole .. " against PyTorch",
        { convlua = ours, torch = best, torch_installed = installed, ratio = ratio })
      bench.line(whole, "%.3f ms, PyTorch %s %.3f (as installed %.3f): %.2f times as fast (%.2f to %.2f)",
        ours.median * 1e3, bench.results.torch, best.median * 1e3, installed.median * 1e3, ratio.median,
        ratio.min, ratio.max)
    end
  end

  return bench
end
