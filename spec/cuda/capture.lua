-- usage: convlua spec/cuda/capture.lua [CASE...]
--
-- Steps that were recorded give the bits of steps that were not: losses and weights of LeNet with dropout
-- and Adam, and of ResNet18 with SGD, the learning rate another each step. Batches of two shapes; what
-- makes a recording stale; what cannot be recorded; failures of every call while one is made, replayed and
-- freed, after which the next fit is as if nothing had been; and nothing is left behind.
-- With names of cases ("lenet", "resnet18", "rules"): those only. Prints "N of N" comparisons; status 1 unless all hold.

local simulator = assert(package.loadlib(os.getenv "CUDASIM" .. "/cudasim.so", "luaopen_cudasim"))()
local convlua = require "convlua"
local nn, optim, train = convlua.nn, convlua.optim, convlua.train

local compared, agreed = 0, 0

local function check(what, good, why)
  compared = compared + 1
  if good then agreed = agreed + 1 else print(("FAIL %s%s"):format(what, why and ": " .. tostring(why) or "")) end
end

local function same(what, a, b)
  check(what, a == b, ("%s, not %s"):format(tostring(b), tostring(a)))
end

-- Fits ---------------------------------------------------------------------------------------------

--- Another learning rate each step.
local function wander(loop, event)
  if event == "update_start" then loop.optimizer.learning_rate = 0.001 * (1 + loop.step_count % 7) end
end

--- `count` batches of `size` (a function of the number, or a number) images, the same each time.
local function batches(count, size, shape)
  local list = {}
  for i = 1, count do
    local n = type(size) == "function" and size(i) or size
    local labels = {}
    for k = 1, n do labels[k] = (i + k) % 3 + 1 end
    list[i] = { convlua.randn { n, table.unpack(shape) }, convlua.tensor(labels):cast "int64" }
  end
  return list
end

--- {losses and answers of a fit, weights and buffers afterwards} as one text, and how many launches of
-- graphs there were.
local function fit(o)
  convlua.manual_seed(11)
  local model = o.model():to "cuda"
  local loop = train.Loop { training = batches(o.steps, o.size or 2, o.shape), optimizer = o.optimizer(model),
    loss = o.loss or nn.softmax_cross_entropy, capture = o.capture, non_finite = o.non_finite,
    precision = o.precision, loss_scale = o.loss_scale,
    callbacks = { wander, o.callback } }
  local lines = {}
  loop.callbacks[#loop.callbacks + 1] = function(_, event)
    if event == "batch_end" then lines[#lines + 1] = ("%a"):format(loop.last_loss_value or 0) end
  end
  simulator.count()
  loop:fit(model, { epochs = o.epochs or 1, device = "cuda", step = o.step })
  local launches = simulator.calls().cudaGraphLaunch or 0
  local named = {}
  for name, x in model:named_parameters() do named[#named + 1] = { name, x } end
  for name, x in model:named_buffers() do named[#named + 1] = { name, x } end
  for _, pair in ipairs(named) do
    for _, v in ipairs(pair[2]:detach():to("cpu"):reshape(-1):to_table()) do
      lines[#lines + 1] = ("%s %a"):format(pair[1], v)
    end
  end
  lines[#lines + 1] = tostring(convlua.rng_state().position)
  return lines, launches
end

--- In a scope, so that nothing stays; the error instead, where there is one.
local function try(o)
  local ok, lines, launches
  convlua.scope(function() ok, lines, launches = pcall(fit, o) end)
  collectgarbage()
  collectgarbage()
  return ok, lines, launches
end

local function with(o, more)
  local both = {}
  for key, value in pairs(o) do both[key] = value end
  for key, value in pairs(more or {}) do both[key] = value end
  return both
end

--- Captured and not are one; `launches` tells how many steps were replays.
local function equal(what, o, launches)
  local _, lines = assert(try(with(o, { capture = false })))
  local ok, captured, count = try(with(o, { capture = true }))
  check(what, ok, captured)
  if not ok then return end
  same(what .. ": launches", launches, count)
  same(what .. ": numbers", #lines, #captured)
  for i, line in ipairs(lines) do
    if line ~= captured[i] then return same(("%s: number %d"):format(what, i), line, captured[i]) end
  end
  check(what, true)
end

-- Cases --------------------------------------------------------------------------------------------

local cases = {}

function cases.lenet()
  equal("LeNet with dropout and Adam, 20 steps", { steps = 20, shape = { 32, 32, 3 },
    model = function()
      return nn.Sequential { require "models.lenet".LeNet { class_count = 10 }, nn.Dropout { rate = 0.3 } }
    end,
    optimizer = function(model) return optim.Adam(model, { learning_rate = 0.01, clip_norm = 1 }) end }, 18)
end

function cases.resnet18()
  equal("ResNet18 of width 8 with SGD", { steps = 4, shape = { 16, 16, 3 },
    model = function() return require "models.resnet".ResNet18 { class_count = 10, width = 8, stem = "cifar" } end,
    optimizer = function(model)
      return optim.SGD(model, { learning_rate = 0.01, momentum = 0.9, weight_decay = 5e-4 })
    end }, 2)
end

local function small_model()
  return nn.Sequential {
    { conv = nn.Conv2D { filter_shape = { 3, 3, 2, 4 }, padding = "same" } },
    { norm = nn.BatchNorm { feature_count = 4 } }, nn.Function(nn.relu), { drop = nn.Dropout { rate = 0.5 } },
    nn.Flatten {}, { dense = nn.Dense { input_size = 64, output_size = 3 } } }
end

local small = { steps = 5, shape = { 4, 4, 2 }, model = small_model,
  optimizer = function(model) return optim.Adam(model, { learning_rate = 0.01 }) end }

local function at(step, f)
  return function(loop, event)
    if event == "batch_start" and loop.phase == "training" and loop.batch_index == step then f(loop) end
  end
end

local function fails(what, o, ...)
  local ok, why = try(with(small, with(o, { capture = true })))
  check(what .. " is an error", not ok)
  for _, text in ipairs { ... } do
    check(what .. " is explained", tostring(why):find(text, 1, true), why)
  end
  local fine, _, launches = try(with(small, { capture = true }))
  check("after " .. what, fine and launches == 3)
end

function cases.rules()
  equal("a small model", small, 3)
  equal("batches of two sizes", with(small, { steps = 9, size = function(i) return 2 + i % 2 end }), 5)
  equal("more shapes than recordings", with(small, { steps = 15, size = function(i) return 1 + i % 5 end }), 4)
  equal("a mode that changes", with(small, { steps = 8, callback = at(5, function(loop) loop.model.norm:eval() end) }), 4)
  equal("a parameter that needs no gradient any more", with(small, { steps = 8,
    callback = at(5, function(loop)
      for _, w in loop.model.conv:named_parameters() do w.requires_grad = false end
    end) }), 4)
  equal("a part that is replaced", with(small, { steps = 8,
    callback = at(5, function(loop) loop.model.drop = nn.Dropout { rate = 0.1 } end) }), 4)
  equal("another loss", with(small, { steps = 8,
    callback = at(5, function(loop)
      loop.loss = function(y, t) return nn.softmax_cross_entropy(y, t, { label_smoothing = 0.1 }) end
    end) }), 4)
  equal("asked to look again", with(small, { steps = 8, callback = at(5, function(loop) loop:recapture() end) }), 4)
  equal("gradients that a callback changes", with(small, { callback = function(loop, event)
    if event == "backward_end" then for _, w in loop.model:named_parameters() do w.grad:zero_() end end
  end }), 3)
  equal("random numbers set between steps", with(small, { callback = at(4, function() convlua.manual_seed(3) end) }), 3)
  equal("two epochs", with(small, { epochs = 2 }), 8)
  equal("a guard that skips", with(small, { non_finite = "skip", callback = at(4, function(loop)
    loop.last_input = loop.last_input * math.huge
  end) }), 3)

  equal("a loss scale that changes", with(small, { steps = 8, precision = "f16",
    loss_scale = { initial = 1024, interval = 3 } }), 6)

  -- What the step uses besides the model stays as long as the recording.
  local weights = function()
    local factor = convlua.tensor({ 0.5, 1, 2 }):to "cuda"
    return function(y, t) return nn.softmax_cross_entropy(y * factor, t) end
  end
  equal("a tensor of the loss's", with(small, { loss = weights() }), 3)
  local freed = convlua.keep(convlua.full({ 3 }, 2, { device = "cuda" }))
  local before
  convlua.scope(function()
    local x = convlua.ones({ 3, device = "cuda" })
    local recording, y = convlua.device.record("cuda", function() return x * freed end)
    freed:free()
    for _ = 1, 8 do convlua.zeros { 3, device = "cuda" } end -- in the scope: each has a block of its own
    recording:replay()
    before = y:sum():item()
    recording:free()
  end)
  same("a tensor that was freed", 6, before)
  convlua.scope(function()
    local x, g = convlua.ones({ 3, device = "cuda", requires_grad = true }), convlua.ones { 3, device = "cuda" }
    local recording = convlua.device.record("cuda", function() x:relu():backward(g) end)
    g:free()
    collectgarbage() -- backward has a handle of its own
    for _ = 1, 8 do convlua.zeros { 3, device = "cuda" } end
    recording:replay()
    same("a gradient that was freed", 3, x.grad:sum():item())
    recording:free()
  end)
  check("outside of a recording", pcall(convlua.device.sync))

  -- What is kept is not overwritten.
  local kept, values = {}, {}
  equal("outputs that are kept", with(small, { callback = function(loop, event)
    if event == "batch_end" then
      kept[#kept + 1] = convlua.keep(loop.last_output:detach())
      values[#values + 1] = loop.last_output:sum():item()
    end
  end }), 3)
  for i, y in ipairs(kept) do
    same("a kept output", values[i], y:sum():item())
    y:free()
  end

  local function step_with(f)
    return { step = function(loop)
      loop.last_output = loop.model(loop.last_input)
      loop.last_loss = loop.loss(loop.last_output, loop.last_target)
      loop.last_loss:backward()
      return f(loop)
    end }
  end
  fails("item in a step", step_with(function(loop) loop.last_loss:item() end), "cuda:0",
    "reading values from the device, which cannot be recorded")
  fails("an error that the step catches", step_with(function(loop) pcall(loop.last_loss.item, loop.last_loss) end),
    "reading values from the device, which cannot be recorded")
  fails("values from the host", step_with(function() convlua.randn { 2, device = "cuda" } end),
    "values from the host, which cannot be recorded")
  fails("work on another device", step_with(function() return nil, convlua.ones { 2 } + 1 end),
    "device cpu, which cannot be recorded")
  fails("waiting", step_with(function() convlua.device.sync() end), "waiting for the device")
  fails("an update in the step", step_with(function(loop) loop.optimizer:step() end), "Adam", "values from the host")
  fails("a cancel", step_with(function() return train.cancel.batch end), "the step returned a cancel")
  fails("a seed", step_with(function() convlua.manual_seed(1) end), "the random numbers were set")
  fails("an error in the step", step_with(function() error "of mine" end), "of mine")
  fails("a parameter without optimizer", { optimizer = function(model)
    return optim.SGD(model.dense, { learning_rate = 0.01 })
  end }, "none of the optimizer's")
  fails("a recording in a recording", step_with(function()
    convlua.device.record("cuda", function() end)
  end), "a recording is being made already")
  local bad = batches(5, 2, small.shape)
  bad[5][2] = convlua.tensor({ 1, 9 }):cast "int64"
  local ok, why = pcall(function()
    local model = small_model():to "cuda"
    train.Loop { training = bad, optimizer = small.optimizer(model), loss = nn.softmax_cross_entropy, capture = true }
      :fit(model, { epochs = 1, device = "cuda" })
  end)
  check("a label that is no class", not ok and tostring(why):find("batch 5: the loss is", 1, true), why)
  check("a freed recording", not pcall(function()
    local r = convlua.device.record("cuda", function() end)
    r:free()
    r:replay()
  end))
end

--- Each call fails once while a fit records and replays.
function cases.failures()
  local kinds = { "device", "pinned", "stream", "event", "graph", "cublas", "cudnn", "descriptor" }
  local function held()
    local list = { ("%d"):format(convlua.memory.live()) }
    for i, kind in ipairs(kinds) do list[i + 1] = ("%s %d"):format(kind, simulator.live(kind)) end
    return table.concat(list, ", ")
  end
  local o = with(small, { capture = true, steps = 4 })
  assert(try(o))
  simulator.count()
  local _, lines = assert(try(o))
  local before, calls, names = held(), simulator.calls(), {}
  for call in pairs(calls) do if call ~= "execution" then names[#names + 1] = call end end
  table.sort(names)
  for _, call in ipairs(names) do
    local n = calls[call]
    for _, nth in ipairs(n <= 6 and { 1, 2, 3, 4, 5, 6 } or { 1, n // 3, n // 2, n * 2 // 3, n * 5 // 6, n - 1, n }) do
      if nth <= n then
        local what = ("%s, call %d of %d"):format(call, nth, n)
        simulator.fail(call, nth)
        local ok, result = try(o)
        simulator.fail()
        check(what .. ": the error is text", ok or type(result) == "string")
        check(what .. ": the same numbers", not ok or table.concat(result) == table.concat(lines))
        local again, numbers = try(o)
        check(what .. ": afterwards", again and table.concat(numbers) == table.concat(lines), not again and numbers)
        if not (call:match "Free" or call:match "Destroy") then same(what .. ": held", before, held()) end
        before = held()
      end
    end
  end
  for n = 0, 4000, 61 do
    local ok = false
    convlua.scope(function() convlua.memory.failing(n, function() ok = try(o) end) end)
    collectgarbage()
    collectgarbage()
    local again, numbers = try(o)
    check(("allocation %d"):format(n), again and table.concat(numbers) == table.concat(lines), not again and numbers)
    if ok then break end
  end
end

local chosen = #arg > 0 and arg or { "lenet", "resnet18", "rules", "failures" }
for _, name in ipairs(chosen) do cases[name]() end
print(("%d of %d"):format(agreed, compared))
os.exit(agreed == compared and compared > 0)
