--- How fast: convlua bench [PART...], where a part is one of
--   gemm      matrix products
--   conv      the convolutions of ResNet18 at 32 x 32, each way: forward, data and filter gradients
--   resnet18  a training step, both stems
--   lenet     a training step
--   loader    batches of augmented images
--   startup   the time of convlua -e ""
-- Every number is the median of several runs; --vs-torch runs the steps in PyTorch beside, in turns.

local convlua = require "convlua"
local core = require "convlua.core"
local json = require "convlua.json"
local options = require "convlua.options"
local nn, optim = convlua.nn, convlua.optim
local clock = core.system.clock

local parts = { "gemm", "conv", "resnet18", "lenet", "loader", "startup" }

local o = options.parse(arg, {
  usage = "bench [options] [PART...]", words = true,
  about = "Parts: " .. table.concat(parts, ", ") .. "; all of them when none is named.",
  { "seconds", "number", min = 0, default = 1, help = "for each measurement, at least 3 runs" },
  { "batch-size", "integer", min = 1, default = 128, help = "images in a step" },
  { "threads", "integer", min = 1, max = 256, help = "of the CPU kernels (all cores)" },
  { "vs-torch", "flag", help = "the steps in PyTorch beside, if python3-torch is there" },
  { "rounds", "integer", min = 1, default = 3, help = "turns of convlua and PyTorch" },
  { "python", "string", default = "/usr/bin/python3", value = "PATH", help = "which has torch" },
  { "json", "string", value = "PATH", help = "write the numbers there too" },
})
if o.threads then convlua.threads(o.threads) end

local results = { threads = convlua.threads(), isa = core.isa(), blas = core.env.blas(),
  measurements = json.array() }

local function note(name, entry)
  entry.name = name
  table.insert(results.measurements, entry)
end

local function spread(times)
  table.sort(times)
  return { min = times[1], median = times[(#times + 1) // 2], max = times[#times], count = #times }
end

--- Runs `step` again and again; it may return the seconds of what counts in it.
local function measure(step, seconds)
  step()
  local times, start = {}, clock()
  while #times < 3 or clock() - start < (seconds or o.seconds) do
    local begin = clock()
    local inner = convlua.scope(step)
    times[#times + 1] = type(inner) == "number" and inner or clock() - begin
  end
  return spread(times)
end

local function line(name, text, ...)
  print(("%-34s %s"):format(name, text:format(...)))
end

local run = {}

function run.gemm()
  for _, n in ipairs { 256, 512, 1024 } do
    for _, dtype in ipairs { "float32", "float64" } do
      local a, b = convlua.randn({ n, n }, { dtype = dtype }), convlua.randn({ n, n }, { dtype = dtype })
      local t = measure(function() a:matmul(b) end, o.seconds / 2)
      local gflops = 2 * n ^ 3 / t.median / 1e9
      t.gflops = gflops
      note(("gemm %d %s"):format(n, dtype), t)
      line(("matmul %d^3 %s"):format(n, dtype), "%8.2f ms  %7.1f GFLOPS", t.median * 1e3, gflops)
    end
  end
end

-- {map, channels in, channels out, filter, stride}: of both stems.
local shapes = {
  { 32, 3, 64, 7, 2 }, { 8, 64, 64, 3, 1 }, { 8, 64, 128, 3, 2 }, { 4, 128, 128, 3, 1 },
  { 4, 128, 256, 3, 2 }, { 2, 256, 256, 3, 1 }, { 1, 512, 512, 3, 1 },
  { 32, 3, 64, 3, 1 }, { 32, 64, 64, 3, 1 }, { 32, 64, 128, 3, 2 }, { 16, 128, 128, 3, 1 },
  { 8, 256, 256, 3, 1 }, { 4, 512, 512, 3, 1 }, { 32, 64, 128, 1, 2 },
}

function run.conv()
  for _, s in ipairs(shapes) do
    local size, c, k, f, stride = table.unpack(s)
    local x = convlua.randn { o.batch_size, size, size, c }
    local w = convlua.randn { f, f, c, k }
    local function conv() return convlua.conv2d(x, w, nil, { strides = stride, padding = "same" }) end
    local gy = convlua.randn(conv().shape)
    local flops = 2 * gy:numel() * c * f * f
    local function backward_of(target)
      return function()
        x.requires_grad, w.requires_grad = target == x, target == w
        local y = conv()
        local begin = clock()
        core.autograd.grad(y, target, { gradient = gy })
        return clock() - begin
      end
    end
    local ways = { forward = conv, data = backward_of(x), filter = backward_of(w) }
    local text = {}
    for _, way in ipairs { "forward", "data", "filter" } do
      x.requires_grad, w.requires_grad = false, false
      local t = measure(ways[way], o.seconds / 4)
      t.gflops = flops / t.median / 1e9
      note(("conv %s %s"):format(table.concat(s, " "), way), t)
      text[#text + 1] = ("%s %7.2f ms %6.0f"):format(way, t.median * 1e3, t.gflops)
    end
    line(("conv %dx%d %d>%d %dx%d/%d"):format(size, size, c, k, f, f, stride), "%s GFLOPS",
      table.concat(text, "  "))
  end
end

--- A training step of `model` on random images.
local function training_step(model)
  local sgd = optim.SGD(model, { learning_rate = 0.1, momentum = 0.9 })
  local x, y = convlua.randn { o.batch_size, 32, 32, 3 }, convlua.randint(1, 10, { o.batch_size })
  return function()
    sgd:zero_grad()
    nn.softmax_cross_entropy(model(x), y):backward()
    sgd:step()
  end
end

local folder = arg[0]:match "^(.*)/[^/]*$" or "."

local function in_torch(part, stem, layout)
  local command = ("env -u OPENBLAS_NUM_THREADS -u OPENBLAS_CORETYPE MALLOC_MMAP_MAX_=0 "
    .. "MALLOC_TRIM_THRESHOLD_=-1 %s '%s/bench_torch.py' %s %s %d %d %s %g 2>/dev/null"):format(
    o.python, folder, part, stem, o.batch_size, convlua.threads(), layout, o.seconds)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  local ok, result = pcall(json.decode, text)
  return ok and result or nil
end

--- convlua and PyTorch in turns, so that both see the same minutes of the machine.
local function compare(name, part, stem, step)
  local ours, theirs, ratios = {}, {}, {}
  for _ = 1, o.rounds do
    local t = measure(step)
    ours[#ours + 1] = t.median
    local best
    for _, layout in ipairs { "default", "channels_last" } do
      local other = in_torch(part, stem, layout)
      if not other then
        print("no PyTorch: apt-get install python3-torch")
        return
      end
      best = math.min(best or other.median, other.median)
    end
    theirs[#theirs + 1] = best
    ratios[#ratios + 1] = best / t.median
  end
  local a, b, r = spread(ours), spread(theirs), spread(ratios)
  note(name .. " against PyTorch", { convlua = a, torch = b, ratio = r })
  line(name, "convlua %.1f ms, PyTorch %.1f ms (its better layout): %.2f times as fast (%.2f to %.2f)",
    a.median * 1e3, b.median * 1e3, r.median, r.min, r.max)
end

local function bench_step(name, part, stem, model)
  local step = training_step(model)
  local t = measure(step)
  t.images_per_s = o.batch_size / t.median
  note(name, t)
  line(name, "%8.1f ms (%.1f to %.1f)  %7.0f img/s", t.median * 1e3, t.min * 1e3, t.max * 1e3,
    t.images_per_s)
  if o.vs_torch then compare(name, part, stem, step) end
end

function run.resnet18()
  for _, stem in ipairs { "imagenet", "cifar" } do
    local model = require "models".resnet18 { class_count = 10, stem = stem }
    bench_step(("resnet18 step, %s stem"):format(stem), "resnet18", stem, model)
  end
end

function run.lenet()
  bench_step("lenet step", "lenet", "-", require "models".lenet { class_count = 10 })
end

function run.loader()
  for _, augment in ipairs { false, true } do
    local set = convlua.data.Shapes10 { batch_size = o.batch_size, augment = augment,
      training_count = 10000, validation_count = 10 }
    local epoch = 0
    local t = measure(function()
      epoch = epoch + 1
      set.training:start(epoch)
      while set.training:next() do end
    end)
    t.images_per_s = set.training:batches() * o.batch_size / t.median
    local name = augment and "loader, crop and flip" or "loader, plain"
    note(name, t)
    line(name, "%8.1f ms for 10,000  %7.0f img/s", t.median * 1e3, t.images_per_s)
  end
end

function run.startup()
  local command = ("'%s' -e ''"):format(core.env.program())
  local t = measure(function() os.execute(command) end)
  note("startup", t)
  line("startup", "%8.1f ms (%.1f to %.1f)", t.median * 1e3, t.min * 1e3, t.max * 1e3)
end

local chosen = #o > 0 and table.move(o, 1, #o, 1, {}) or parts
for _, name in ipairs(chosen) do
  if not run[name] then
    io.stderr:write(("unknown part '%s'; there are %s\n"):format(name, table.concat(parts, ", ")))
    os.exit(2, true)
  end
end
print(("%s, %d threads, BLAS: %s"):format(results.isa, results.threads, results.blas))
for _, name in ipairs(chosen) do run[name]() end
if o.json then core.io.write_file(o.json, json.encode(results) .. "\n") end
