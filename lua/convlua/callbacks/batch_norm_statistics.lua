--- batch_norm_statistics{ data = loader, batches = 32 }: takes the statistics that BatchNorm layers use
-- in inference from the weights as they are. After the training of each epoch `batches` batches of
-- `data` go through the model; running_mean and running_var become the means of what these batches have,
--   mean = E[mean of a batch]     var = E[variance of a batch]
-- as in algorithm 2 of Ioffe & Szegedy 2015, arXiv:1502.03167, in place of an average over the weights of
-- past steps, which lags behind where these still change much. Training is not touched: it uses the
-- batch's own statistics. Everything but the BatchNorm layers is in inference mode. With batches = 0 the
-- running statistics stay.

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"
local source = require "convlua.train.source"
local tree = require "convlua.nn.tree"

--- The BatchNorm layers of a model, with what a batch's statistics are multiplied with on their way
-- into running ones that start at 0.
local function norms_of(model)
  local norms = {}
  tree.walk(model, function(_, part, kind)
    if kind == "layer" and part.type == "BatchNorm" and part.options.momentum < 1 then
      norms[#norms + 1] = { layer = part, share = 1 - part.options.momentum,
        mean = core.keep(part.running_mean:clone():zero_()), var = core.keep(part.running_var:clone():zero_()) }
    end
  end)
  return norms
end

--- Adds the statistics of one batch to the sums; false when there is no batch.
local function take_in(model, norms, batches, device)
  local input = batches:next()
  if input == nil then return false end
  for _, norm in ipairs(norms) do
    norm.layer.running_mean:zero_()
    norm.layer.running_var:zero_()
  end
  model(device and input:to(device) or input)
  for _, norm in ipairs(norms) do
    norm.mean:add_(norm.layer.running_mean * (1 / norm.share))
    norm.var:add_(norm.layer.running_var * (1 / norm.share))
  end
  return true
end

local on = {}

function on.training_end(self, loop)
  local model, norms, count = loop.model, norms_of(loop.model), 0
  if #norms == 0 or self.batches == 0 then return end
  model:eval()
  for _, norm in ipairs(norms) do norm.layer:train() end
  self.data:start(1, 1)
  core.autograd.no_grad(function()
    while count < self.batches and core.scope(take_in, model, norms, self.data, loop.device) do count = count + 1 end
    for _, norm in ipairs(count > 0 and norms or {}) do
      norm.layer.running_mean = norm.mean * (1 / count)
      norm.layer.running_var = norm.var * (1 / count)
    end
  end)
  model:train()
end

return function(o)
  o = handler.options("batch_norm_statistics", o, { data = handler.none, batches = 32 })
  if math.type(o.batches) ~= "integer" or o.batches < 0 then
    error(("batch_norm_statistics: batches must be a whole number from 0, got %s"):format(tostring(o.batches)), 2)
  end
  o.data = source.of(o.data, "batch_norm_statistics: data")
  return handler.new("batch_norm_statistics", on, o)
end
