--- What is in a picture: build/convlua scripts/classify.lua --checkpoint runs/<name>/best.npz cat.jpg
-- The model and its classes are read from options.json beside the checkpoint.

local convlua = require "convlua"
local options = require "convlua.options"
local run = require "convlua.run"
local core = require "convlua.core"

local o = options.parse(arg, {
  usage = "classify.lua --checkpoint PATH [options] IMAGE...", words = true,
  about = "Names what JPEG and PNG pictures show, by a model that train_cifar.lua has trained.",
  { "checkpoint", "string", value = "PATH", help = "weights, in the folder of their run" },
  { "top", "integer", min = 1, default = 5, help = "how many classes to tell" },
  { "device", "string", help = "cpu, cuda, cuda:1, ..." },
})
if not o.checkpoint or #o == 0 then
  io.stderr:write(options.help { usage = "classify.lua --checkpoint PATH [options] IMAGE..." })
  os.exit(2, true)
end

local made = run.read_options(o.checkpoint)
local model = require "models"[made.model](made.model_options)
model:read_checkpoint(o.checkpoint):eval()
model:to(o.device or convlua.device.default())

--- uint8 {H, W, 3} -> what the model was trained on: the middle square, resized, normalised.
local function prepare(image)
  local height, width = image:size(1), image:size(2)
  local side = math.min(height, width)
  local top, left = (height - side) // 2, (width - side) // 2
  image = image[{ { top + 1, top + side }, { left + 1, left + side } }]:contiguous()
  image = core.io.resize(image, made.image_size[1], made.image_size[2])
  local x = image:to "float32" / 255
  if made.mean then x = (x - convlua.tensor(made.mean)) / convlua.tensor(made.std) end
  return x:unsqueeze(1)
end

local function classify(path)
  local x = prepare(core.io.read_image(path)):to(o.device or convlua.device.default())
  local chances = model(x):softmax():to("cpu"):squeeze(1):to_table()
  local ranking = {}
  for label, chance in ipairs(chances) do ranking[label] = { chance, made.class_names[label] } end
  table.sort(ranking, function(a, b) return a[1] > b[1] end)
  print(path)
  for i = 1, math.min(o.top, #ranking) do
    print(("  %6.2f %%  %s"):format(100 * ranking[i][1], ranking[i][2]))
  end
end

local failed = false
convlua.no_grad(function()
  for _, path in ipairs(o) do
    local ok, problem = pcall(core.scope, classify, path)
    if not ok then
      io.stderr:write(("%s: %s\n"):format(path, tostring(problem)))
      failed = true
    end
  end
end)
os.exit(failed and 1 or 0, true)
