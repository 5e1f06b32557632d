--- How fast: convlua bench [PART...], where a part is one of
--   peak      multiply-adds in registers, and memory: what the machine can do
--   gemm      matrix products
--   conv      the convolutions of ResNet18 at 32 x 32 and of LeNet, each way: forward, data and filter
--             gradients, by the algorithm that is chosen and by each of the others
--   conv1d    convolutions along one axis, likewise
--   layers    the other convolutions of models/, each way
--   narrow    convolutions with few channels in a group, few filters or few images, each way
--   resnet18  a training step, both stems
--   lenet     a training step
--   mlp       a training step on one example
--   inference of ResNet18, both stems, a batch and one image
--   overhead  of the smallest op
--   loader    batches of augmented images
--   startup   the time of convlua -e ""
-- Every number is the median of several runs. --vs-torch runs what there is in PyTorch beside, in turns;
-- PyTorch's best is the better of its two memory layouts with malloc tuned for it.

local folder = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/?.lua;" .. package.path

local convlua = require "convlua"
local core = require "convlua.core"
local json = require "convlua.json"
local options = require "convlua.options"

local parts = { "peak", "gemm", "conv", "conv1d", "layers", "narrow", "resnet18", "lenet", "mlp",
  "inference", "overhead", "loader", "startup" }

local o = options.parse(arg, {
  usage = "bench [options] [PART...]", words = true,
  about = "Parts: " .. table.concat(parts, ", ") .. "; all of them when none is named.",
  { "seconds", "number", min = 0, default = 1, help = "for each measurement, at least 3 runs" },
  { "batch-size", "integer", min = 1, default = 128, help = "images in a step" },
  { "threads", "integer", min = 1, max = 256, help = "of the CPU kernels (all cores)" },
  { "vs-torch", "flag", help = "the same in PyTorch beside, if python3-torch is there" },
  { "rounds", "integer", min = 1, default = 3, help = "turns of convlua and PyTorch" },
  { "only", "string", value = "TEXT,...", help = "sizes whose line has one of these" },
  { "python", "string", default = "/usr/bin/python3", value = "PATH", help = "which has torch" },
  { "json", "string", value = "PATH", help = "write the numbers there too" },
})
if o.threads then convlua.threads(o.threads) end

local bench = require "bench.tools"(o)
local run = {}
for _, file in ipairs { "kernels", "models", "others" } do
  for name, part in pairs(require("bench." .. file)(bench)) do run[name] = part end
end

local chosen = #o > 0 and table.move(o, 1, #o, 1, {}) or parts
for _, name in ipairs(chosen) do
  if not run[name] then
    io.stderr:write(("unknown part '%s'; there are %s\n"):format(name, table.concat(parts, ", ")))
    os.exit(2, true)
  end
end
local results = bench.results
io.stdout:setvbuf "line" -- a pipe shows each line when it is measured
print(("%s, %d threads, BLAS: %s"):format(results.isa, results.threads, results.blas))
for _, name in ipairs(chosen) do run[name]() end
if o.only and not bench.found then
  io.stderr:write(("--only %s: none of the sizes has that\n"):format(o.only))
  os.exit(2, true)
end
if o.json then core.io.write_file(o.json, json.encode(results) .. "\n") end
