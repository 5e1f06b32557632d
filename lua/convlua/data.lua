--- Data sets: convlua.data.
--
--   local cifar = data.CIFAR10{ batch_size = 128, augment = true }
--   for epoch = 1, 10 do
--     cifar.training:start(epoch)
--     for x, labels in cifar.training.next, cifar.training do ... end
--   end
--
-- A data set is a table with
--   training, validation          loaders (loader.lua); training drops a last batch that is not full
--   training_whole                the training set in its own order, as it is, to measure on
--   class_names                   the names that labels stand for
--   training_set, validation_set  the tensors {items, labels} behind
--   name, mean, std
-- Images are {height, width, channels} float32, normalised; labels count from 1.

local core = require "convlua.core"
local files = require "convlua.data.files"
local Loader = require "convlua.loader"

local data = { Loader = Loader, cifar10_folder = files.cifar10_folder }

local options = {
  batch_size = true, augment = true, shuffle = true, seed = true, root = true, workers = true,
  normalize = true, download = true, training_count = true, validation_count = true,
}

local function check(who, o)
  if type(o) ~= "table" then
    error(("%s: a table of options expected, got %s"):format(who, type(o)), 3)
  end
  for key in pairs(o) do
    if not options[key] then
      local names = {}
      for name in pairs(options) do names[#names + 1] = name end
      table.sort(names)
      local text = "%s: unknown option '%s'; there are %s"
      error(text:format(who, tostring(key), table.concat(names, ", ")), 3)
    end
  end
  if math.type(o.batch_size) ~= "integer" or o.batch_size < 1 then
    error(("%s: batch_size must be a positive integer, got %s"):format(who, tostring(o.batch_size)), 3)
  end
end

--- What `augment = true` means: He et al. 2016, arXiv:1512.03385, section 4.2.
local standard = { crop_padding = 4, flip = true }

--- The two loaders of a data set of tensors. normalize: {mean =, std =}, or false for 0..1.
local function new_set(name, o, training, validation, class_names, normalize)
  if o.normalize ~= nil and o.normalize ~= true then normalize = o.normalize or {} end
  local augment = o.augment == true and standard or o.augment or nil
  local common = { mean = normalize.mean, std = normalize.std, seed = o.seed or 0,
    workers = o.workers, batch_size = o.batch_size }
  local function loader(set, more)
    for key, value in pairs(common) do more[key] = value end
    more.dataset = set
    return Loader(more)
  end
  return {
    name = name,
    training_set = training,
    validation_set = validation,
    class_names = class_names,
    mean = normalize.mean,
    std = normalize.std,
    training = loader(training, { shuffle = o.shuffle ~= false, drop_last = true, augment = augment }),
    training_whole = loader(training, {}),
    validation = loader(validation, {}),
  }
end

local function limited(items, labels, count)
  if count and count < #labels then items, labels = items[{ { 1, count } }], labels[{ { 1, count } }] end
  return { items = items, labels = labels }
end

--- CIFAR10{ batch_size, augment, shuffle = true, seed = 0, root, workers, normalize, download,
--   training_count, validation_count }
-- 50,000 training and 10,000 validation images {32, 32, 3} in ten classes; Krizhevsky 2009. The
-- files, binary version, are looked for in `root`, $CONVLUA_DATA, ./data, ../shared/data and the
-- user's cache folder, else downloaded, unless download = false.
--   augment    true: random crop with 4 pixels of padding, and flip; or a table (loader.lua)
--   normalize  false: 0..1; or {mean =, std =}; the training set's own when not given
--   *_count    only the first so many
function data.CIFAR10(o)
  check("CIFAR10", o)
  local folder = files.cifar10_folder(o.root, o.download)
  local paths = {}
  for i = 1, 5 do paths[i] = ("%s/data_batch_%d.bin"):format(folder, i) end
  local training = limited(core.data.cifar10(paths))
  training = limited(training.items, training.labels, o.training_count)
  local test_items, test_labels = core.data.cifar10 { folder .. "/test_batch.bin" }
  local validation = limited(test_items, test_labels, o.validation_count)
  return new_set("CIFAR-10", o, training, validation, core.data.cifar10_names, {
    mean = { 0.49140, 0.48216, 0.44653 }, std = { 0.24703, 0.24349, 0.26159 },
  })
end

--- Shapes10{ batch_size, augment, shuffle = true, seed = 0, workers, normalize, training_count =
-- 20000, validation_count = 4000 }: ten classes of drawn figures, 32 x 32, made here and now.
function data.Shapes10(o)
  check("Shapes10", o)
  local n, m = o.training_count or 20000, o.validation_count or 4000
  local items, labels = core.data.shapes10 { count = n, seed = 0 }
  local more_items, more_labels = core.data.shapes10 { count = m, seed = 0, first = n + 1 }
  return new_set("Shapes10", o, { items = items, labels = labels },
    { items = more_items, labels = more_labels }, core.data.shapes10_names,
    { mean = { 0.5, 0.5, 0.5 }, std = { 0.25, 0.25, 0.25 } })
end

return data
