--- CIFAR-10 to 94 % in minutes on a CPU: Jordan's small network (models/airbench.lua) and his recipe
-- with Muon, arXiv:2404.00498 and https://github.com/KellerJordan/cifar10-airbench. The first epochs see
-- smaller images, which teach nearly as much in a third of the time; in the last the first block, which has
-- settled, is left as it is.
--   build/convlua scripts/speedrun_cifar.lua                    three seeds, 11 epochs each
--   build/convlua scripts/speedrun_cifar.lua --seeds 1 --epochs 4

local convlua = require "convlua"
local options = require "convlua.options"
local clock = require "convlua.core".system.clock
local Airbench = require "models.airbench".Airbench
local data, nn, optim, schedule, train = convlua.data, convlua.nn, convlua.optim, convlua.schedule, convlua.train

local WHITEN_EPOCHS = 3 -- after them the first bias is fixed, which saves a gradient
local FASTEST = convlua.isa() == "avx512_bf16" and "bf16-full" or "float32" -- on this CPU

local o = options.parse(arg, {
  usage = "speedrun_cifar.lua [options]",
  about = "Trains a small network on CIFAR-10, once for each seed, and tells the mean accuracy.",
  { "seeds", "integer", default = 3, min = 1, help = "how many runs" },
  { "first-seed", "integer", default = 1, help = "of the first of them" },
  { "epochs", "integer", default = 11, min = 1, help = "passes over the data" },
  { "small-epochs", "integer", min = 0, help = "the first so many of them with small images (4 of 11)" },
  { "small-size", "integer", default = 18, min = 9, help = "height and width of these" },
  { "frozen-epochs", "integer", min = 0, help = "the last so many of them leave the first block alone (3 of 11)" },
  { "batch-size", "integer", default = 2000, min = 1, help = "images in a step" },
  { "data", "string", value = "PATH", help = "folder of CIFAR-10's binary version, or shapes10" },
  { "precision", { "float32", "bf16", "bf16-full" }, default = FASTEST,
    help = "of products: bfloat16 operands in the backward passes, or in all" },
  { "train-count", "integer", min = 1, help = "only the first so many training images" },
  { "validation-count", "integer", min = 1, help = "and of those it is judged by" },
  { "threads", "integer", min = 1, help = "of the CPU kernels (all cores)" },
})
local small_epochs = o.small_epochs or o.epochs * 4 // 11
local frozen_epochs = o.frozen_epochs or o.epochs * 3 // 11
if o.threads then convlua.threads(o.threads) end

local function norm_offsets(model)
  local list = {}
  for _, block in ipairs(model.blocks) do
    list[#list + 1], list[#list + 2] = block.norm1.offset, block.norm2.offset
  end
  return list
end

local function filters(model)
  local list = {}
  for _, block in ipairs(model.blocks) do
    list[#list + 1], list[#list + 2] = block.conv1.filter, block.conv2.filter
  end
  return list
end

--- Muon for the filters, SGD for the rest. The loss is a sum, so the rates are small; the decay,
-- in proportion to the batch, is that of a step, whatever the rate.
local function optimizer_of(model)
  local decay = 2e-6 * o.batch_size
  local function sgd(parameters, rate)
    return optim.SGD(parameters,
      { learning_rate = rate, weight_decay = decay / rate, momentum = 0.85, nesterov = true })
  end
  local muon = optim.Muon(filters(model),
    { learning_rate = 0.24, momentum = 0.6, steps = 3, keep_norm = true })
  local whiten = sgd({ model.whiten.bias }, 0.053)
  return optim.Several{ muon, sgd(norm_offsets(model), 0.053), sgd({ model.head.weight }, 0.67), whiten },
    whiten
end

--- The first bias has a schedule of its own, and is then left alone.
local function whitening(model, optimizer)
  local rate = optimizer.learning_rate
  return function(loop, event)
    if event == "epoch_start" and loop.epoch_index > WHITEN_EPOCHS then
      model.whiten.bias.requires_grad = false
    elseif event == "update_start" then
      optimizer.learning_rate = rate * math.max(0, 1 - loop.step_count / (WHITEN_EPOCHS * loop.batch_count))
    end
  end
end

local function size_of(epoch)
  return epoch <= small_epochs and o.small_size or nil
end

local function loss(output, target)
  return nn.softmax_cross_entropy(output, target, { label_smoothing = 0.2, reduction = "sum" })
end

local function data_set(seed)
  local settings = { batch_size = o.batch_size, seed = seed,
    training_count = o.train_count, validation_count = o.validation_count,
    augment = { crop_padding = 2, padding_mode = "reflect", alternating_flip = true } }
  if o.data == "shapes10" then return data.Shapes10(settings) end
  settings.root = o.data
  return data.CIFAR10(settings)
end

--- Accuracy and seconds of a run; only training is counted.
local function run(seed)
  convlua.manual_seed(seed)
  local set = data_set(seed)
  local model = Airbench{ class_count = #set.class_names }
  local optimizer, whiten = optimizer_of(model)
  local loop = train.Loop{
    training = set.training, optimizer = optimizer, loss = loss, metrics = { "loss", "accuracy" },
    precision = o.precision,
    callbacks = { train.progress(), train.lr_schedule(schedule.polynomial { start = 0.24, finish = 0, power = 1 }),
      train.progressive_resizing(size_of), whitening(model, whiten), train.freezing(function(epoch, epochs)
        if epoch > epochs - frozen_epochs then return { model.blocks[1] } end
      end) },
  }
  local start = clock()
  convlua.scope(function()
    set.training_whole:start(1)
    model:whiten_from((set.training_whole:next()))
  end)
  if loop:fit(model, { epochs = o.epochs }) == "interrupted" then os.exit(130, true) end
  local seconds = clock() - start
  local plain = train.evaluate(model, set.validation).accuracy
  local views = train.evaluate(nn.views(model, { flip = true, shift = 1 }), set.validation).accuracy
  print(("seed %d: accuracy %.4f, over six views %.4f, in %.0f s, evaluation not counted"):format(
    seed, plain, views, seconds))
  return views, seconds
end

local sum, longest = 0, 0
for seed = o.first_seed, o.first_seed + o.seeds - 1 do
  local accuracy, seconds = run(seed)
  sum, longest = sum + accuracy, math.max(longest, seconds)
end
print(("mean of %d: %.4f, the longest in %.0f s, %s, %d threads, %s"):format(
  o.seeds, sum / o.seeds, longest, o.precision, convlua.threads(), convlua.isa()))
