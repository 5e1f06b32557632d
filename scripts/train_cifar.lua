--- Trains an image classifier on CIFAR-10 and leaves everything about the run in runs/<name>/.
--   build/convlua scripts/train_cifar.lua                        the book's ResNet18, 25 epochs
--   build/convlua scripts/train_cifar.lua --model lenet          the book's LeNet, 5 epochs
--   build/convlua scripts/train_cifar.lua --stem cifar --augment --epochs 6
--   build/convlua scripts/train_cifar.lua --resume runs/<name>   goes on, bit for bit

local convlua = require "convlua"
local options = require "convlua.options"
local recipes = require "convlua.recipes"
local run = require "convlua.run"
local nn, train = convlua.nn, convlua.train
local models = require "models"

local o = options.parse(arg, recipes.options)
local resumed
if o.resume then
  resumed, o.out = run.read_options(o.resume)
  options.fill(o, resumed)
end
recipes.complete(o)

convlua.manual_seed(o.seed)
if o.threads then convlua.threads(o.threads) end
local device = o.device or convlua.device.default()

local set = recipes.data(o)
local model_options = recipes.model_options(o, set)
local model = models[o.model](model_options):to(device)
local optimizer = recipes.optimizer(o, model)

local function loss(output, target)
  return nn.softmax_cross_entropy(output, target, { label_smoothing = o.label_smoothing })
end

local folder = run.folder(o.out, o.model)
local title = ("%s on %s"):format(o.model, set.name)
run.write_options(folder, recipes.record(o, set, model_options))
print(("%s, %d parameters, %d threads; %s"):format(title, model:count_parameters(), convlua.threads(),
  folder))

local loop = train.Loop{
  training = set.training, validation = set.validation,
  optimizer = optimizer, loss = loss, metrics = { "loss", "accuracy" },
  precision = o.precision, capture = o.capture,
  callbacks = { train.progress(), train.lr_schedule(recipes.schedule(o)), recipes.statistics(o, set),
    run.callbacks(folder, title) },
}
local outcome, signal = loop:fit(model, {
  epochs = o.epochs, device = device, resume = o.resume and run.states(folder),
})
if outcome == "interrupted" then
  print(("to go on: %s %s --resume %s"):format(arg[-1] or "convlua", arg[0], folder))
  os.exit(128 + signal, true)
end

local best = 0
for _, stats in ipairs(loop.history) do best = math.max(best, stats.val_accuracy or 0) end
local whole = train.evaluate(model, set.training_whole, { device = device })
print(("best validation accuracy %.4f; accuracy over the whole training set, in inference mode, %.4f")
  :format(best, whole.accuracy))
