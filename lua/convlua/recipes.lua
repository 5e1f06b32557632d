--- What scripts/train_cifar.lua can be told, and what it does when it is not told: the recipes.
--
--   book   ResNet18 as in the chapter on convolutional networks: 7x7/2 stem on 32 x 32, SGD 0.1 with
--          momentum 0.9 at a constant rate, batches of 128, no augmentation, 25 epochs;
--          with --model lenet: SGD 0.1 without momentum, 5 epochs, which end at 0.54 to 0.57.
--          Its listing passes 0.1 as BatchNorm's momentum: training is the same, but the running
--          statistics are then little more than the last batch's, and cost about a point of accuracy;
--          --batch-norm-momentum 0.1 --batch-norm-batches 0 gives that. Here they are taken anew after
--          each epoch, which gains 0.4 points over running ones of momentum 0.9
--   lenet  the same rate in effect with momentum 0.9, which is steadier: 0.58 after 5 epochs
--   cifar  ResNet18 with the 3x3 stem and what a short run takes: one-cycle rate, Nesterov momentum,
--          decay of the weights of convolutions and dense layers alone, label smoothing
--   muon   the same network, its filters updated by Muon, which needs fewer epochs: 0.941 after 14; batches
--          of 500, a rate that falls in a straight line, flips that alternate

local data = require "convlua.data"
local optim = require "convlua.optim"
local run = require "convlua.run"
local schedule = require "convlua.schedule"
local train = require "convlua.train"

local recipes = {}

local model_names = { "lenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152" }

recipes.options = {
  usage = "train_cifar.lua [options]",
  about = "Trains an image classifier on CIFAR-10; without options, the book's ResNet18.",
  { "preset", { "book", "lenet", "cifar", "muon" }, help = "values for what is not given" },
  { "model", model_names, help = "what to train" },
  { "stem", { "imagenet", "cifar" }, help = "first layers of a ResNet: 7x7/2 and pooling, or 3x3" },
  { "epochs", "integer", min = 0, help = "passes over the training set" },
  { "batch-size", "integer", min = 1, help = "images in a step" },
  { "optimizer", { "sgd", "muon", "adam", "adamw" },
    help = "how weights are updated; muon: filters by Muon, the rest by SGD" },
  { "lr", "number", min = 0, help = "learning rate; of one-cycle the peak, of muon the filters'" },
  { "rest-lr", "number", min = 0, help = "with muon, of what is no filter; --lr if not given" },
  { "momentum", "number", min = 0, max = 1, help = "of sgd and muon" },
  { "nesterov", "flag", help = "Nesterov's momentum" },
  { "batch-norm-momentum", "number", min = 0, max = 1, help = "share of the old running statistics" },
  { "batch-norm-batches", "integer", min = 0,
    help = "after each epoch BatchNorm's statistics are taken from so many batches; 0: running ones" },
  { "weight-decay", "number", min = 0, help = "of the weights of convolutions and dense layers" },
  { "label-smoothing", "number", min = 0, max = 1, help = "share given to all classes alike" },
  { "schedule", { "constant", "linear", "one-cycle", "cosine", "step" }, help = "the rate over time" },
  { "precision", { "float32", "bf16", "bf16-full", "f16" }, default = "float32",
    help = "of products: bfloat16 operands in the backward passes, or in all; float16 on CUDA" },
  { "capture", "flag", help = "on a CUDA device: steps are recorded once and replayed" },
  { "augment", "flag", help = "random crop with 4 pixels around, and flip" },
  { "data", "string", value = "PATH", help = "folder with cifar-10-batches-bin, or shapes10" },
  { "download", "flag", default = true, help = "fetch the data when it is nowhere; --no-download" },
  { "train-count", "integer", min = 1, help = "only the first N training images" },
  { "workers", "integer", min = 0, max = 64, default = 1, help = "threads that prepare batches" },
  { "out", "string", value = "PATH", help = "folder of the run (runs/MODEL-TIME)" },
  { "resume", "string", value = "PATH", help = "folder of a run to go on with" },
  { "seed", "integer", default = 1, help = "of weights, order and augmentation" },
  { "threads", "integer", min = 1, max = 256, help = "of the CPU kernels (all cores)" },
  { "device", "string", help = "cpu, cuda, cuda:1, ..." },
}

local presets = {
  book = { model = "resnet18", stem = "imagenet", epochs = 25, batch_size = 128, optimizer = "sgd",
    lr = 0.1, momentum = 0.9, nesterov = false, weight_decay = 0.0, label_smoothing = 0.0,
    schedule = "constant", augment = false, batch_norm_momentum = 0.9, batch_norm_batches = 32 },
  book_lenet = { model = "lenet", epochs = 5, batch_size = 128, optimizer = "sgd", lr = 0.1,
    momentum = 0.0, nesterov = false, weight_decay = 0.0, label_smoothing = 0.0,
    schedule = "constant", augment = false },
  lenet = { model = "lenet", epochs = 5, batch_size = 128, optimizer = "sgd", lr = 0.01, momentum = 0.9,
    nesterov = false, weight_decay = 0.0, label_smoothing = 0.0, schedule = "constant", augment = false },
  cifar = { model = "resnet18", stem = "cifar", epochs = 6, batch_size = 128, optimizer = "sgd",
    lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 5e-4, label_smoothing = 0.1,
    schedule = "one-cycle", augment = true, batch_norm_momentum = 0.9 },
  muon = { model = "resnet18", stem = "cifar", epochs = 14, batch_size = 500, optimizer = "muon",
    lr = 0.05, rest_lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 5e-4, label_smoothing = 0.2,
    schedule = "linear", augment = true, batch_norm_momentum = 0.9, batch_norm_batches = 32 },
}

-- What takes the place of a preset's rate when its optimizer is not wanted.
local rates = { sgd = 0.1, muon = 0.05, adam = 1e-3, adamw = 1e-3 }

--- Fills in what was not given, from the preset that was, or the one that fits.
function recipes.complete(o)
  local short = o.optimizer == "muon" and "muon" or "cifar"
  local name = o.preset or o.model == "lenet" and "lenet" or o.stem == "cifar" and short or "book"
  o.preset = name
  local values = presets[name == "book" and o.model == "lenet" and "book_lenet" or name]
  for key, value in pairs(values) do
    if o[key] == nil then o[key] = value end
  end
  if o.optimizer ~= values.optimizer and not o.given.lr then o.lr = rates[o.optimizer] end
end

local function cifar10(o, common)
  common.root, common.download = o.data, o.download
  return data.CIFAR10(common)
end

--- CIFAR-10, or, when it is neither here nor to be had, Shapes10, and that is said aloud.
function recipes.data(o)
  local augment = o.augment
  if augment and o.preset == "muon" then
    augment = { crop_padding = 4, padding_mode = "reflect", alternating_flip = true }
  end
  local common = { batch_size = o.batch_size, augment = augment, seed = o.seed, workers = o.workers,
    training_count = o.train_count }
  if o.data == "shapes10" then return data.Shapes10(common) end
  local ok, result = pcall(cifar10, o, common)
  if ok then return result end
  if o.data then error(result, 0) end
  run.box("NO CIFAR-10: training on Shapes10 instead, drawn figures in ten classes.",
    "The numbers of this run say nothing about CIFAR-10.", "", tostring(result))
  common.root, common.download = nil, nil
  return data.Shapes10(common)
end

--- The options of the model's constructor.
function recipes.model_options(o, set)
  local m = { class_count = #set.class_names }
  if o.model ~= "lenet" then
    m.stem = o.stem
    m.momentum = o.batch_norm_momentum
  end
  return m
end

--- Muon for the filters, Nesterov's SGD for the rest, with decay for weights of dense layers. Where every
-- filter has a normalization behind it, as in a ResNet, its norm is of no account and kept.
local function muon(o, model)
  local filters, rest = {}, {}
  for _, parameter in model:named_parameters() do
    table.insert(parameter.ndim > 2 and filters or rest, parameter)
  end
  return optim.Several{
    optim.Muon(filters, { learning_rate = o.lr, momentum = o.momentum, nesterov = o.nesterov, steps = 3,
      keep_norm = o.model ~= "lenet" }),
    optim.SGD(rest, { learning_rate = o.rest_lr or o.lr, momentum = 0.9, nesterov = true,
      weight_decay = o.weight_decay, groups = optim.weights_only }),
  }
end

function recipes.optimizer(o, model)
  if o.optimizer == "muon" then return muon(o, model) end
  local settings = { learning_rate = o.lr, weight_decay = o.weight_decay, groups = optim.weights_only }
  if o.optimizer == "adam" then return optim.Adam(model, settings) end
  if o.optimizer == "adamw" then return optim.AdamW(model, settings) end
  settings.momentum, settings.nesterov = o.momentum, o.nesterov
  return optim.SGD(model, settings)
end

function recipes.schedule(o)
  if o.schedule == "one-cycle" then
    return schedule.one_cycle { start = o.lr * 0.15, peak = o.lr, finish = 0, rise = 0.3 }
  elseif o.schedule == "linear" then
    return schedule.polynomial { start = o.lr }
  elseif o.schedule == "cosine" then
    return schedule.cosine { start = o.lr }
  elseif o.schedule == "step" then
    return schedule.multi_step { start = o.lr, at = { 0.5, 0.75 } }
  end
  return schedule.constant(o.lr)
end

--- What BatchNorm uses in inference.
function recipes.statistics(o, set)
  return train.batch_norm_statistics { data = set.training_whole, batches = o.batch_norm_batches or 0 }
end

--- What options.json holds: the options, and what is needed to use the weights.
function recipes.record(o, set, model_options)
  local r = { model_options = model_options, data_set = set.name, class_names = set.class_names,
    mean = set.mean, std = set.std, image_size = { 32, 32 } }
  for _, option in ipairs(recipes.options) do
    local name = option[1]:gsub("-", "_")
    if name ~= "resume" and name ~= "out" then r[name] = o[name] end
  end
  return r
end

return recipes
