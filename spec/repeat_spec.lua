-- A run is a function of its seed: threads of the kernels and workers of the loader change nothing, and once
-- warm it asks the system for nothing.

local convlua = require "convlua"
local core = require "convlua.core"
local resnet = require "models.resnet"

local nn, optim, data = convlua.nn, convlua.optim, convlua.data

local STEPS, BATCH = 50, 16

--- Trains a narrow ResNet18 on Shapes10; after(step) is called between the steps. Returns the model.
local function train(o)
  local threads = convlua.threads()
  convlua.threads(o.threads or threads)
  convlua.manual_seed(5)
  local set = data.Shapes10 { batch_size = BATCH, augment = true, seed = 3, workers = o.workers,
    training_count = STEPS * BATCH, validation_count = 10 }
  local model = resnet.ResNet18 { class_count = 10, width = 8, stem = o.stem or "imagenet" }
  local sgd = optim.SGD(model, { learning_rate = 0.05, momentum = 0.9, weight_decay = 5e-4 })
  set.training:start(1)
  for step = 1, STEPS do
    convlua.scope(function()
      local x, labels = set.training:next()
      sgd:zero_grad()
      nn.softmax_cross_entropy(model(x), labels):backward()
      sgd:step()
    end)
    if o.after then o.after(step) end
  end
  convlua.threads(threads)
  return model
end

local function fingerprint(model)
  local bytes = {}
  for _, x in model:named_parameters() do bytes[#bytes + 1] = x:to_bytes() end
  for _, x in model:named_buffers() do bytes[#bytes + 1] = x:to_bytes() end
  return core.io.sha1(table.concat(bytes))
end

describe("the weights after 50 steps", function()
  local first = fingerprint(train { threads = 1, workers = 0 })

  for _, threads in ipairs { 1, 2, 4 } do
    for _, workers in ipairs { 0, 1, 3 } do
      it(("are the same for %d threads and %d workers"):format(threads, workers), function()
        assert.are.equal(first, fingerprint(train { threads = threads, workers = workers }))
      end)
    end
  end
end)

describe("a training loop in its steady state", function()
  it("takes no page from the system and keeps its live bytes", function()
    local faults, live
    train {
      stem = "cifar", threads = 2, workers = 1,
      after = function(step)
        if step == 20 then faults, live = core.system.usage().minor_faults, convlua.memory.live() end
        if step == STEPS then
          faults = core.system.usage().minor_faults - faults
          live = convlua.memory.live() - live
        end
      end,
    }
    -- Lua's own heap may still grow by a page now and then; a tensor from the system would cost hundreds.
    -- A sanitizer's allocator never gets warm: it keeps what was freed away from use.
    if not (os.getenv "BUILD" or ""):match "san$" then
      assert.is_true(faults <= 10 * (STEPS - 20), faults .. " page faults in 30 steps")
    end
    assert.is_true(math.abs(live) < 1e6, live .. " bytes more than 30 steps before")
  end)
end)
