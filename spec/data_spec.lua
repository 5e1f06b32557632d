-- Data sets and loaders as Lua sees them. The C loader behind has its own specs.

local convlua = require "convlua"
local core = require "convlua.core"
local files = require "convlua.data.files"

local data = convlua.data

-- Every batch of an epoch: lists of inputs and labels.
local function epoch_of(loader, epoch, first)
  local inputs, labels = {}, {}
  loader:start(epoch, first)
  while true do
    local x, y = loader:next()
    if not x then return inputs, labels end
    inputs[#inputs + 1], labels[#labels + 1] = x:to_table(), y and y:to_table()
  end
end

-- Ten samples: x = {i, 10 i}, label = i.
local function ten(extra)
  local set = { size = function() return 10 end,
    get = function(_, i) return convlua.tensor { i, 10 * i }, i end }
  for key, value in pairs(extra or {}) do set[key] = value end
  return set
end

describe("data.Loader over an object", function()
  it("collates samples in order", function()
    local inputs, labels = epoch_of(data.Loader { dataset = ten(), batch_size = 4 }, 1)
    assert.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 10 } }, labels)
    assert.same({ { 9, 90 }, { 10, 100 } }, inputs[3])
  end)

  it("drops or keeps the remainder", function()
    local loader = data.Loader { dataset = ten(), batch_size = 4, drop_last = true }
    assert.equal(2, loader:batches())
    assert.equal(2, #select(2, epoch_of(loader, 1)))
    assert.equal(3, data.Loader { dataset = ten(), batch_size = 4 }:batches())
  end)

  it("shuffles: a permutation, another one each epoch, the same for the same seed", function()
    local function order(seed, epoch)
      local loader = data.Loader { dataset = ten(), batch_size = 10, shuffle = true, seed = seed }
      return select(2, epoch_of(loader, epoch))[1]
    end
    local first = order(1, 1)
    assert.same(first, order(1, 1))
    assert.not_same(first, order(1, 2))
    assert.not_same(first, order(2, 1))
    table.sort(first)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, first)
  end)

  it("starts at any batch of an epoch", function()
    local loader = data.Loader { dataset = ten(), batch_size = 3, shuffle = true, seed = 5 }
    local _, all = epoch_of(loader, 2)
    local _, tail = epoch_of(loader, 2, 3)
    assert.same({ all[3], all[4] }, tail)
  end)

  it("names the sample that fails", function()
    local loader = data.Loader { batch_size = 4, dataset = ten { get = function(_, i)
      if i == 7 then error("torn page", 0) end
      return i, i
    end } }
    assert.raises_like(function() epoch_of(loader, 1) end, "Loader: sample 7: torn page")
  end)

  it("refuses options that are for tensors, unknown ones, and what is no data set", function()
    for _, case in ipairs {
      { { dataset = ten(), batch_size = 4, augment = { flip = true } }, "'augment' is for data sets of tensors" },
      { { dataset = ten(), batch_size = 0 }, "batch_size must be a positive integer, got 0" },
      { { dataset = ten(), batchsize = 4 }, "unknown option 'batchsize'" },
      { { dataset = 7, batch_size = 4 }, "an object with size and get" },
      { { dataset = ten(), batch_size = 4, augment = { flop = true } }, "augment: unknown option 'flop'" },
    } do
      assert.raises_like(function() data.Loader(case[1]) end, case[2])
    end
  end)
end)

describe("data.Loader over tensors", function()
  it("normalises bytes and counts labels from 1", function()
    local loader = data.Loader { batch_size = 2, mean = { 0.5 }, std = { 0.25 }, workers = 0, dataset = {
      items = convlua.tensor({ { { { 0 } } }, { { { 255 } } } }, { dtype = "uint8" }),
      labels = convlua.tensor({ 1, 2 }, { dtype = "int64" }),
    } }
    loader:start(1)
    local x, y = loader:next()
    assert.close({ { { { -2 } } }, { { { 2 } } } }, x)
    assert.same({ 1, 2 }, y:to_table())
  end)
end)

describe("data.Shapes10", function()
  it("gives the same batches for any number of workers", function()
    local function sum(workers)
      local set = data.Shapes10 { batch_size = 32, augment = true, seed = 3, workers = workers,
        training_count = 200, validation_count = 50 }
      local bytes = {}
      set.training:start(2)
      for x, y in set.training.next, set.training do
        bytes[#bytes + 1] = core.io.sha1(x:to_bytes()) .. core.io.sha1(y:to_bytes())
      end
      assert.equal(6, #bytes) -- 200 // 32
      assert.equal(2, set.validation:batches())
      return table.concat(bytes)
    end
    assert.equal(sum(0), sum(1))
    assert.equal(sum(0), sum(3))
  end)

  it("has ten names and two sets without a sample in common", function()
    local set = data.Shapes10 { batch_size = 10, training_count = 40, validation_count = 40 }
    assert.equal(10, #set.class_names)
    assert.not_equal(set.training_set.items[1]:to_bytes(), set.validation_set.items[1]:to_bytes())
    assert.raises_like(function() data.Shapes10 { batch_size = 10, augmented = true } end,
      "Shapes10: unknown option 'augmented'")
  end)
end)

describe("data.CIFAR10", function()
  local ok, folder = pcall(files.cifar10_folder, nil, false)

  it("has 390 training and 79 validation batches of 128", function()
    if not ok then return pending "no CIFAR-10 here" end
    local set = data.CIFAR10 { batch_size = 128, root = folder }
    assert.same({ 390, 79 }, { set.training:batches(), set.validation:batches() })
    assert.equal("airplane", set.class_names[1])
    set.validation:start(1, 79)
    local x, labels = set.validation:next()
    assert.same({ 16, 32, 32, 3 }, x.shape)
    assert.is_true(labels:min():item() >= 1 and labels:max():item() <= 10)
  end)

  it("tells where it was looked for", function()
    assert.raises_like(function() data.CIFAR10 { batch_size = 1, root = "/no/such", download = false } end,
      "CIFAR-10 is not in /no/such, and downloading was not allowed")
  end)
end)
