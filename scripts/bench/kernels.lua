--- The parts of bench.lua that measure kernels: what the machine can do, matrix products, convolutions.

local convlua = require "convlua"
local core = require "convlua.core"
local machine = require "convlua.core.bench"
local clock = core.system.clock

-- {rows, sum, columns} of a product, and which operand is stored transposed: cubes; 64 channels of 128
-- images of 32 x 32 times a 1 x 1 filter, and its gradient; X^T X of a 3 x 3 filter of 256 channels (Muon);
-- a dense layer and its two gradients.
local matrices = {
  { 256, 256, 256 }, { 512, 512, 512 }, { 1024, 1024, 1024 },
  { 131072, 64, 64 }, { 64, 131072, 64, "A^T" }, { 256, 2304, 256, "A^T" },
  { 128, 3072, 512 }, { 128, 512, 3072, "B^T" }, { 3072, 128, 512, "A^T" },
}

-- {map, channels in, channels out, filter, stride}: of both stems, and of LeNet.
local shapes = {
  { 32, 3, 64, 7, 2 }, { 8, 64, 64, 3, 1 }, { 8, 64, 128, 3, 2 }, { 4, 128, 128, 3, 1 },
  { 4, 128, 256, 3, 2 }, { 2, 256, 256, 3, 1 }, { 1, 512, 512, 3, 1 },
  { 32, 3, 64, 3, 1 }, { 32, 64, 64, 3, 1 }, { 32, 64, 128, 3, 2 }, { 16, 128, 128, 3, 1 },
  { 8, 256, 256, 3, 1 }, { 4, 512, 512, 3, 1 }, { 32, 64, 128, 1, 2 },
  { 28, 3, 6, 5, 1 }, { 10, 6, 16, 5, 1 },
}

-- The other convolutions of models/: {images, then as above}. ResNet18 to 152 at 224 x 224, both stems of ResNet18 at
-- 32 x 32 where that has more, the airbench network.
local layers = {
  { 8, 224, 3, 64, 7, 2 }, { 8, 56, 64, 64, 3, 1 }, { 8, 56, 64, 64, 1, 1 }, { 8, 56, 64, 256, 1, 1 },
  { 8, 56, 256, 64, 1, 1 }, { 8, 56, 64, 128, 3, 2 }, { 8, 56, 64, 128, 1, 2 }, { 8, 56, 256, 128, 1, 1 },
  { 8, 56, 128, 128, 3, 2 }, { 8, 56, 256, 512, 1, 2 }, { 8, 28, 128, 128, 3, 1 }, { 8, 28, 128, 512, 1, 1 },
  { 8, 28, 512, 128, 1, 1 }, { 8, 28, 128, 256, 3, 2 }, { 8, 28, 128, 256, 1, 2 }, { 8, 28, 512, 256, 1, 1 },
  { 8, 28, 256, 256, 3, 2 }, { 8, 28, 512, 1024, 1, 2 }, { 8, 14, 256, 256, 3, 1 }, { 8, 14, 256, 1024, 1, 1 },
  { 8, 14, 1024, 256, 1, 1 }, { 8, 14, 256, 512, 3, 2 }, { 8, 14, 256, 512, 1, 2 }, { 8, 14, 1024, 512, 1, 1 },
  { 8, 14, 512, 512, 3, 2 }, { 8, 14, 1024, 2048, 1, 2 }, { 8, 7, 512, 512, 3, 1 }, { 8, 7, 512, 2048, 1, 1 },
  { 8, 7, 2048, 512, 1, 1 },
  { 128, 8, 64, 128, 1, 2 }, { 128, 4, 128, 256, 1, 2 }, { 128, 2, 256, 512, 3, 2 }, { 128, 2, 256, 512, 1, 2 },
  { 128, 16, 128, 256, 3, 2 }, { 128, 16, 128, 256, 1, 2 }, { 128, 8, 256, 512, 3, 2 }, { 128, 8, 256, 512, 1, 2 },
  { 128, 32, 3, 24, 2, 1 }, { 128, 31, 24, 64, 3, 1 }, { 128, 15, 64, 64, 3, 1 }, { 128, 15, 64, 256, 3, 1 },
  { 128, 7, 256, 256, 3, 1 }, { 128, 3, 256, 256, 3, 1 },
}
-- {images, length, channels in, channels out, filter, stride}
local lines = {
  { 32, 4096, 16, 16, 3, 1 }, { 32, 1024, 64, 64, 3, 1 }, { 32, 1024, 128, 128, 3, 1 },
  { 32, 256, 512, 512, 3, 1 }, { 1, 1024, 64, 64, 3, 1 },
}
-- {images, then as for shapes, groups}: few channels in a group, few filters, few images.
local narrow = {
  { 16, 28, 64, 64, 3, 1, 32 }, { 16, 28, 128, 128, 3, 1, 32 }, { 16, 14, 256, 256, 3, 1, 32 },
  { 16, 14, 512, 512, 3, 1, 32 }, { 16, 28, 256, 256, 3, 2, 32 }, { 16, 28, 64, 128, 3, 1, 8 },
  { 16, 28, 128, 128, 1, 1, 4 }, { 16, 28, 32, 64, 3, 1, 32 }, { 16, 28, 96, 96, 3, 1, 96 },
  { 16, 28, 144, 144, 3, 2, 144 }, { 16, 14, 240, 240, 5, 1, 240 }, { 16, 14, 384, 384, 7, 1, 384 },
  { 16, 14, 512, 512, 3, 1, 512 }, { 1, 112, 32, 32, 3, 1, 32 },
  { 1, 64, 32, 1, 3, 1 }, { 2, 64, 64, 3, 3, 1 }, { 4, 56, 160, 8, 1, 1 }, { 2, 32, 64, 3, 7, 1 },
  { 16, 32, 64, 3, 3, 1 }, { 1, 64, 3, 64, 3, 1 }, { 2, 32, 3, 64, 7, 2 }, { 20, 32, 3, 6, 5, 1 },
  { 20, 28, 1, 6, 5, 1 }, { 10, 14, 80, 80, 1, 1 },
}
local passes = { "forward", "data", "filter" }

return function(bench)
  local o, measure, note, line = bench.options, bench.measure, bench.note, bench.line
  local parts = {}

  function parts.peak()
    local operations = 0
    local t = measure(function() operations = machine.multiply_add(1000000) end)
    t.gflops = operations / t.min / 1e9
    note("peak multiply-add", t)
    line("multiply-add in registers", "%10.1f GFLOPS", t.gflops)
    local bytes = 0
    t = measure(function() bytes = machine.triad(1 << 24) end)
    t.gb_per_s = bytes / t.min / 1e9
    note("peak triad", t)
    line("triad of 3 x 64 MiB", "%10.1f GB/s", t.gb_per_s)
  end

  --- {rows, columns} of random numbers, stored by columns if so wanted.
  local function operand(rows, columns, dtype, transposed)
    if transposed then return convlua.randn({ columns, rows }, { dtype = dtype }):transpose() end
    return convlua.randn({ rows, columns }, { dtype = dtype })
  end

  local function measure_product(name, size, dtype)
    local m, k, n, stored = table.unpack(size)
    local a, b = operand(m, k, dtype, stored == "A^T"), operand(k, n, dtype, stored == "B^T")
    local function product() local _ <close> = a:matmul(b) end
    local t = measure(product, o.seconds / 2)
    t.gflops = 2 * m * k * n / t.median / 1e9
    note(name, t)
    line(name, "%8.2f ms  %7.1f GFLOPS", t.median * 1e3, t.gflops)
    if dtype == "float32" then
      bench.compare(name, "gemm", ("%d,%d,%d,%s"):format(m, k, n, stored or ""), 1, { gemm = product })
    end
  end

  function parts.gemm()
    for _, size in ipairs(matrices) do
      local m, k, n, stored = table.unpack(size)
      local cube = m == k and k == n
      local text = cube and m .. "^3" or ("%dx%dx%d"):format(m, k, n) .. (stored and " " .. stored or "")
      for _, dtype in ipairs(cube and { "float32", "float64" } or { "float32" }) do
        local name = ("matmul %s %s"):format(text, dtype)
        if bench.wanted(name) then measure_product(name, size, dtype) end
      end
    end
  end

  --- {forward, data, filter}: functions that give the seconds of one pass, and the products in it.
  local function passes_of(images, size, c, k, filter, stride, axes, groups)
    local line_only = axes == 1
    local depth = c // groups
    local x = convlua.randn(line_only and { images, size, c } or { images, size, size, c })
    local w = convlua.randn(line_only and { filter, depth, k } or { filter, filter, depth, k })
    local op = line_only and convlua.conv1d or convlua.conv2d
    local function conv()
      return op(x, w, nil, { strides = stride, padding = (filter - 1) // 2, groups = groups })
    end
    local gy = convlua.randn(conv().shape)
    local function pass(target)
      return function()
        x.requires_grad, w.requires_grad = target == x, target == w
        local begin = clock()
        local y = conv()
        if target then
          begin = clock()
          core.autograd.grad(y, target, { gradient = gy })
        end
        return clock() - begin
      end
    end
    return { forward = pass(), data = pass(x), filter = pass(w) }, gy:numel() * depth * filter ^ axes
  end

  --- One line: the three passes by one algorithm.
  local function measure_passes(title, algorithm, steps, products)
    local text = {}
    machine.conv_algorithm(algorithm)
    for _, name in ipairs(passes) do
      local t = measure(steps[name], o.seconds / 4)
      t.gflops = 2 * products / t.median / 1e9
      t.algorithm = algorithm ~= "" and algorithm or "planned"
      note(("%s %s %s"):format(title, name, t.algorithm), t)
      text[#text + 1] = ("%s %7.2f ms %5.0f"):format(name, t.median * 1e3, t.gflops)
    end
    line(algorithm == "" and title or "  " .. algorithm, "%s GFLOPS", table.concat(text, "  "))
    machine.conv_algorithm ""
  end

  --- Each pass of a shape, along one axis or two, by the algorithms named, "" being the planner's choice.
  local function measure_shape(axes, images, algorithms, size, c, k, filter, stride, groups)
    groups = groups or 1
    local title = axes == 1 and ("conv1d %d %d>%d %d/%d"):format(size, c, k, filter, stride)
      or ("conv %dx%d %d>%d %dx%d/%d"):format(size, size, c, k, filter, filter, stride)
    if groups > 1 then title = ("%s, %d groups"):format(title, groups) end
    if not bench.wanted(title) then return end
    local steps, products = passes_of(images, size, c, k, filter, stride, axes, groups)
    for _, algorithm in ipairs(algorithms) do measure_passes(title, algorithm, steps, products) end
    local what = ("%d,%d,%d,%d,%d,%d,%d"):format(size, c, k, filter, stride, axes, groups)
    bench.compare(title, "conv", what, images, steps)
  end

  function parts.conv()
    local algorithms = { "", "direct", "dots", "grouped", "lines", "subpixel", "winograd", "gemm" }
    for _, s in ipairs(shapes) do measure_shape(2, o.batch_size, algorithms, table.unpack(s)) end
  end

  function parts.conv1d()
    local algorithms = { "", "winograd", "gemm" }
    for _, s in ipairs(lines) do measure_shape(1, s[1], algorithms, table.unpack(s, 2)) end
  end

  function parts.layers()
    for _, s in ipairs(layers) do measure_shape(2, s[1], { "" }, table.unpack(s, 2)) end
  end

  function parts.narrow()
    for _, s in ipairs(narrow) do measure_shape(2, s[1], { "" }, table.unpack(s, 2)) end
  end

  return parts
end
