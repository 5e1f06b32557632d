-- Batches: the same for any number of workers, from any position, and no way to hang.

local convlua = require "convlua"
local data = require "convlua.core.data"
local files = require "convlua.io"
local command = require "spec.support.command"

-- `count` one-pixel items whose value is their number, labelled with it.
local function numbered(count)
  local number = convlua.arange(1, count)
  return number:to("float32"):reshape(count, 1), number
end

local function loader(o)
  if not o.items then o.items, o.labels = numbered(o.count) end
  o.count = nil
  return data.loader(o)
end

-- The labels of an epoch's batches, { { ... }, ... }, and the values beside them.
local function epoch(l, n, first)
  local labels = {}
  l:start(n, first)
  for x, y in l.next, l do
    assert.close(y:to "float32", x:reshape(-1))
    labels[#labels + 1] = y:to_table()
  end
  return labels
end

local function flat(batches)
  local all = {}
  for _, batch in ipairs(batches) do table.move(batch, 1, #batch, #all + 1, all) end
  return all
end

local shapes, shape_labels = data.shapes10 { count = 300, seed = 1 }

local function augmented(o)
  local options = {
    items = shapes, labels = shape_labels, batch_size = 32, shuffle = true, seed = 5,
    crop_padding = 4, flip = true, cutout = 8,
    mean = { 0.49140, 0.48216, 0.44653 }, std = { 0.24703, 0.24349, 0.26159 },
  }
  for name, value in pairs(o or {}) do options[name] = value end
  return data.loader(options)
end

-- The SHA-1 of each batch of two epochs.
local function sums(l)
  local list = {}
  for n = 1, 2 do
    l:start(n)
    for x, y in l.next, l do list[#list + 1] = files.sha1(x:to_bytes() .. y:to_bytes()) end
  end
  return list
end

describe("a loader", function()
  it("gives the samples in their order, the last batch shorter or left out", function()
    local l <close> = loader { count = 10, batch_size = 4 }
    assert.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 10 } }, epoch(l, 1))
    assert.equal(3, #l)
    assert.equal(10, l:size())
    local d <close> = loader { count = 10, batch_size = 4, drop_last = true }
    assert.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 } }, epoch(d, 1))
    assert.equal(2, d:batches())
  end)

  it("counts CIFAR-10's batches of 128: 390 to train on, 79 to validate on", function()
    local items, labels = convlua.zeros(50000, 1), convlua.ones { 50000, dtype = "int64" }
    local t <close> = data.loader { items = items, labels = labels, batch_size = 128,
      drop_last = true }
    assert.equal(390, #t)
    local v <close> = loader { count = 10000, batch_size = 128 }
    assert.equal(79, #v)
  end)

  it("shuffles: every sample once, another order for each epoch and seed", function()
    local l <close> = loader { count = 100, batch_size = 7, shuffle = true, seed = 3 }
    local first, second = flat(epoch(l, 1)), flat(epoch(l, 2))
    assert.not_same(first, second)
    assert.same(first, flat(epoch(l, 1)))
    local m <close> = loader { count = 100, batch_size = 7, shuffle = true, seed = 4 }
    assert.not_same(first, flat(epoch(m, 1)))
    table.sort(first)
    local all = {}
    for i = 1, 100 do all[i] = i end
    assert.same(all, first)
  end)

  it("puts a sample in each place equally often", function()
    local l <close> = loader { count = 4, batch_size = 4, shuffle = true, seed = 1, workers = 0 }
    local seen, rounds = {}, 4800
    for n = 1, rounds do
      local order = table.concat(epoch(l, n)[1])
      seen[order] = (seen[order] or 0) + 1
    end
    local chi, orders = 0, 0
    for _, count in pairs(seen) do
      orders = orders + 1
      chi = chi + (count - rounds / 24) ^ 2 / (rounds / 24)
    end
    assert.equal(24, orders)
    assert(chi < 49.7, "chi squared of 23 degrees is " .. chi) -- exceeded once in a thousand
  end)

  it("gives the same batches for any number of workers and any depth", function()
    local l <close> = augmented { workers = 0 }
    local wanted = sums(l)
    for workers = 1, 3 do
      local m <close> = augmented { workers = workers }
      assert.same(wanted, sums(m))
    end
    local m <close> = augmented { workers = 3, depth = 1 }
    assert.same(wanted, sums(m))
  end)

  it("goes on from any position as if it had come there itself", function()
    for workers = 0, 2, 2 do
      local l <close> = augmented { workers = workers }
      local wanted = sums(l)
      for _, at in ipairs { { 1, 1 }, { 2, 4 }, { 1, 10 }, { 2, 1 } } do
        local n, batch = at[1], at[2]
        l:start(n, batch)
        assert.same({ n, batch }, { l:position() })
        local x, y = l:next()
        assert.equal(wanted[(n - 1) * 10 + batch], files.sha1(x:to_bytes() .. y:to_bytes()))
        assert.same({ n, batch + 1 }, { l:position() })
      end
      l:start(1, 11) -- the end of the epoch
      assert.is_nil(l:next())
    end
  end)

  it("may be restarted and closed at any moment, and says when it is closed", function()
    for i = 1, 50 do
      local l = augmented { workers = 3 }
      l:start(1, 1 + i % 5)
      if i % 2 == 0 then l:next() end
      l:start(2)
      if i % 3 == 0 then l:next() end
      l:close()
      l:close()
      assert.raises_like(function() l:next() end, "the loader has been closed")
      assert.equal("loader (closed)", tostring(l))
    end
    local l <close> = augmented { workers = 1 }
    assert.equal("loader of 300 samples in 10 batches of 32", tostring(l))
  end)

  it("keeps its data alive and gives back all memory", function()
    collectgarbage()
    local live = convlua.memory.live()
    do
      local items, labels = numbered(50)
      local l <close> = data.loader { items = items, labels = labels, batch_size = 8, workers = 2 }
      items:free()
      labels:free()
      assert.equal(50, flat(epoch(l, 1))[50])
    end
    pcall(loader, { count = 50, batch_size = -1 })
    collectgarbage()
    collectgarbage()
    assert.equal(live, convlua.memory.live())
  end)

  it("reads strided items", function()
    local items = convlua.arange(1, 6):to("float32"):reshape(2, 3):transpose(1, 2)
    local l <close> = data.loader { items = items, labels = convlua.arange(1, 3), batch_size = 3 }
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, l:next():to_table())
  end)

  it("refuses what makes no sense", function()
    local function try(o)
      o.count = o.count or 4
      return function() loader(o):close() end
    end
    assert.raises_like(try { batch_size = 0 }, "batch_size must be at least 1, got 0")
    assert.raises_like(try {}, "option 'batch_size' is missing")
    assert.raises_like(try { batch_size = 2, batchsize = 2 }, "unknown option 'batchsize'")
    assert.raises_like(try { batch_size = 2, workers = -1 }, "workers must be 0 or more, got -1")
    assert.raises_like(try { batch_size = 2, workers = 1000000 }, "workers must be 0..64")
    assert.raises_like(try { batch_size = 2, flip = true }, "need items {height, width, channels}")
    assert.raises_like(try { batch_size = 2, mean = { 0 } }, "as many numbers, got 1 and 0")
    assert.raises_like(try { batch_size = 2, mean = { 0 }, std = { 0 } }, "must be positive, got 0")
    assert.raises_like(try { batch_size = 2, mean = "0", std = { 0 } }, "a list of numbers")
    assert.raises_like(function() augmented { crop_padding = 32, padding_mode = "reflect" } end,
      "reflection by 32 pixels needs larger items than {32, 32, 3}")
    assert.raises_like(function() augmented { mean = { 0 }, std = { 1 } } end, "expected 3")
    local x, y = numbered(3)
    assert.raises_like(function() data.loader { items = x, labels = x, batch_size = 1 } end,
      "labels must be int64 {3}, one for each item, got float32 {3, 1}")
    assert.raises_like(function() data.loader { items = y, labels = y, batch_size = 1 } end,
      "items must be uint8 or float32, got int64")
    assert.raises_like(function() data.loader { labels = y, batch_size = 1 } end,
      "option 'items': convlua.tensor expected, got nil")
    local l <close> = loader { count = 4, batch_size = 2 }
    assert.raises_like(function() l:start(1, 4) end, "an epoch has 2 batches")
    assert.raises_like(function() l:start(0) end, "epochs count from 1")
    assert.raises_like(function() l:start(1, 0) end, "batches count from 1")
  end)

  it("does not hold up the end of a program", function()
    local r = command.run { "-e", [[
      local data = require "convlua.core.data"
      local x, y = data.shapes10 { count = 500 }
      l = data.loader { items = x, labels = y, batch_size = 16, workers = 3, flip = true }
      l:start(1)
      l:next()
      print "done"
    ]] }
    assert.same({ out = "done\n", err = "", status = 0 }, r)
  end)
end)

describe("augmentation", function()
  -- One sample through a loader, as a nested table.
  local function through(x, o)
    local options = { items = x:unsqueeze(1), labels = convlua.arange(1, 1), batch_size = 1,
      workers = 0 }
    for name, value in pairs(o) do options[name] = value end
    local l <close> = data.loader(options)
    l:start(o.epoch or 1)
    options.epoch = nil
    return l:next():to_table()[1]
  end

  local square = convlua.arange(1, 16):to("float32"):reshape(4, 4, 1)

  local function variants(o, of_epoch)
    local items = square:unsqueeze(1):expand(200, 4, 4, 1):contiguous()
    o.items, o.labels, o.batch_size = items, convlua.arange(1, 200), 200
    local l <close> = data.loader(o)
    l:start(of_epoch or 1)
    return l:next():to_table()
  end

  it("makes bytes into 0..1, and normalises by channel", function()
    local x = convlua.tensor({ { { 0, 51, 255 } } }, "uint8")
    assert.close({ { { 0, 0.2, 1 } } }, through(x, {}))
    assert.close({ { { -1, -0.6, 1.5 } } },
      through(x, { mean = { 0.5, 0.5, 0.25 }, std = { 0.5, 0.5, 0.5 } }))
    assert.close({ { { 1, 2 } } }, through(convlua.tensor { { { 3, 5 } } },
      { mean = { 1, 1 }, std = { 2, 2 } }))
  end)

  it("shows a sample and its mirror image in turn, half of the samples first the one", function()
    local plain, flipped = square:to_table(), square:flip(2):to_table()
    local first = variants { alternating_flip = true, seed = 2 }
    local second = variants({ alternating_flip = true, seed = 2 }, 2)
    local third = variants({ alternating_flip = true, seed = 2 }, 3)
    local mirrored = 0
    for i = 1, 200 do
      local is_mirrored = first[i][1][1][1] ~= 1
      assert.same(is_mirrored and flipped or plain, first[i])
      assert.same(is_mirrored and plain or flipped, second[i])
      assert.same(first[i], third[i])
      if is_mirrored then mirrored = mirrored + 1 end
    end
    assert.is_true(mirrored > 70 and mirrored < 130, tostring(mirrored))
  end)

  it("flips half of the samples", function()
    local flipped = 0
    for _, y in ipairs(variants { flip = true, seed = 2 }) do
      local row = { y[1][1][1], y[1][2][1], y[1][3][1], y[1][4][1] }
      if row[1] == 4 then
        flipped = flipped + 1
        assert.same({ 4, 3, 2, 1 }, row)
      else
        assert.same({ 1, 2, 3, 4 }, row)
      end
    end
    assert(flipped > 70 and flipped < 130, flipped .. " of 200 were flipped")
  end)

  -- Where a crop by `pad` finds output row i, column j of the 4 x 4 square; 0 outside.
  local function shifted(down, right, reflect)
    local y = {}
    for i = 1, 4 do
      y[i] = {}
      for j = 1, 4 do
        local r, c = i + down, j + right
        if reflect then
          r = r < 1 and 2 - r or r > 4 and 8 - r or r
          c = c < 1 and 2 - c or c > 4 and 8 - c or c
        end
        local inside = r >= 1 and r <= 4 and c >= 1 and c <= 4
        y[i][j] = { inside and (r - 1) * 4 + c or 0 }
      end
    end
    return y
  end

  for _, mode in ipairs { "zero", "reflect" } do
    it("crops at every place around the image, padded by " .. mode, function()
      local wanted, seen, places = {}, {}, 0
      local function key(y)
        local t = {}
        for i = 1, 4 do for j = 1, 4 do t[#t + 1] = ("%d"):format(y[i][j][1]) end end
        return table.concat(t, " ")
      end
      for down = -2, 2 do
        for right = -2, 2 do wanted[key(shifted(down, right, mode == "reflect"))] = true end
      end
      for _, y in ipairs(variants { crop_padding = 2, padding_mode = mode, seed = 7 }) do
        assert(wanted[key(y)], key(y))
        places = places + (seen[key(y)] and 0 or 1)
        seen[key(y)] = true
      end
      assert(places >= 24, places .. " of 25 places were seen") -- 200 draws
    end)
  end

  it("cuts out a square, whole in the middle and cut off at the border", function()
    local sizes = {}
    for _, y in ipairs(variants { cutout = 2, seed = 3 }) do
      local zeros = 0
      for i = 1, 4 do
        for j = 1, 4 do
          if y[i][j][1] == 0 then
            zeros = zeros + 1
          else
            assert.equal((i - 1) * 4 + j, y[i][j][1])
          end
        end
      end
      sizes[zeros] = true
    end
    assert.same({ [1] = true, [2] = true, [4] = true }, sizes)
  end)

  it("is another one in each epoch, and the same again in the same", function()
    local function sum(n)
      local l <close> = augmented { shuffle = false }
      l:start(n)
      return files.sha1(l:next():to_bytes())
    end
    assert.equal(sum(1), sum(1))
    assert.not_equal(sum(1), sum(2))
  end)
end)
