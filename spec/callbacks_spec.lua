-- The built-in callbacks, each with a loop whose numbers are known.

local convlua = require "convlua"
local core = require "convlua.core"
local json = require "convlua.json"
local toy = require "spec.support.toy"

local train = convlua.train

local folder

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
  core.io.make_folder(folder)
end)

after_each(function() os.execute("rm -rf '" .. folder .. "'") end)

local function read(name) return core.io.read_file(folder .. "/" .. name) end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

-- Trains the toy for some epochs of two batches with the callbacks given.
local function fit(callbacks, epochs, more)
  local model = toy.model(0)
  local loop = train.Loop{ training = toy.batches(2), validation = toy.batches(2),
    optimizer = toy.optimizer(model), loss = toy.loss, metrics = more and more.metrics,
    non_finite = more and more.non_finite, callbacks = callbacks }
  if more and more.training then loop.training = more.training end
  return loop, model, loop:fit(model, { epochs = epochs or 2 })
end

-- A callback that overwrites a metric at epoch_end with the values given, epoch by epoch.
local function pretend(metric, values)
  return function(loop, event)
    if event == "epoch_end" then loop.last_stats[metric] = values[loop.epoch_index] end
  end
end

-- A stand-in for a file.
local function sink()
  local parts = {}
  return { write = function(_, ...) parts[#parts + 1] = table.concat { ... } end,
    flush = function() end, text = function() return table.concat(parts) end }
end

describe("train.progress", function()
  it("writes one line per epoch where there is no terminal", function()
    local out = sink()
    fit({ train.progress { file = out } })
    local text = lines(out.text())
    assert.equal(2, #text)
    assert.matches("^epoch 1/2  2/2 %[==========%] %d+ s · %d+ img/s · loss %d%.%d%d%d%d · "
      .. "val_loss %d%.%d%d%d%d$", text[1])
  end)

  it("redraws one line on a terminal", function()
    local out = sink()
    fit({ train.progress { file = out, live = true, interval = 0 } }, 1)
    local text = out.text()
    assert.equal(1, select(2, text:gsub("\n", "")))
    assert.matches("1/2 %[=====>    %]", text)
    assert.is_true(select(2, text:gsub("\r", "")) >= 3)
  end)
end)

describe("train.checkpoint", function()
  it("writes the weights, and tells of it", function()
    local saved = {}
    local loop, model = fit { train.checkpoint(folder .. "/w.npz"), function(l, event)
      if event == "checkpoint_saved" then saved[#saved + 1] = l.checkpoint_path end
    end }
    assert.same({ folder .. "/w.npz", folder .. "/w.npz" }, saved)
    assert.close(model:value(), core.io.load_npz(loop.checkpoint_path).w:item(), 0)
  end)

  it("with `best` writes only what is better", function()
    local saved = {}
    fit({ pretend("val_accuracy", { 0.3, 0.5, 0.4, 0.6 }),
      train.checkpoint(folder .. "/w.npz", { best = "val_accuracy" }), function(l, event)
        if event == "checkpoint_saved" then saved[#saved + 1] = l.epoch_index end
      end }, 4)
    assert.same({ 1, 2, 4 }, saved)
  end)

  it("with `keep` leaves the last ones, named by epoch", function()
    fit({ train.checkpoint(folder .. "/w.npz", { keep = 2 }) }, 5)
    assert.same({ "w-0004.npz", "w-0005.npz" }, core.io.list_folder(folder))
  end)

  it("with `steps` writes in the middle of an epoch", function()
    local at = {}
    fit({ train.checkpoint(folder .. "/w.npz", { steps = 3, every = 100 }), function(l, event)
      if event == "checkpoint_saved" then at[#at + 1] = l.step_count end
    end }, 3)
    assert.same({ 3, 6, 6 }, at) -- the last at the end of the fit
  end)

  it("leaves the file before under a second path", function()
    local values = {}
    local _, model = fit({ train.checkpoint(folder .. "/w.npz", { previous = folder .. "/p.npz" }),
      function(l, event) if event == "epoch_end" then values[#values + 1] = l.model:value() end end }, 3)
    assert.equal(model:value(), core.io.load_npz(folder .. "/w.npz").w:item())
    assert.equal(values[2], core.io.load_npz(folder .. "/p.npz").w:item())
  end)

  it("names a metric that is not there, and those that are", function()
    assert.raises_like(function() fit { train.checkpoint(folder .. "/w.npz", { best = "val_acc" }) } end,
      "there is no metric 'val_acc' at the end of epoch 1; there are loss, val_loss")
  end)

  it("stops on an error only when told to", function()
    local bad = folder .. "/file/w.npz"
    core.io.write_file(folder .. "/file", "")
    assert.raises_like(function() fit { train.checkpoint(bad) } end, "file")
    assert.raises_like(function() train.checkpoint("w", { on_error = "cry" }) end, "'warn' or 'stop'")
    assert.raises_like(function() train.checkpoint("w", { previous = "w" }) end,
      "previous must be another path, got w")
    assert.raises_like(function() train.checkpoint("w", { keep = 0 }) end, "keep must be a positive integer, got 0")
    assert.raises_like(function() train.checkpoint("w", { kep = 1 }) end, "unknown option 'kep'")
  end)
end)

describe("train.jsonl_logger", function()
  it("writes a flat object per epoch, or per so many steps as well", function()
    local loop = fit { train.jsonl_logger(folder .. "/m.jsonl", { steps = 2 }) }
    local objects = {}
    for i, line in ipairs(lines(read "m.jsonl")) do objects[i] = json.decode(line) end
    assert.equal(4, #objects)
    assert.same({ "step", "epoch", "step", "epoch" },
      { objects[1].event, objects[2].event, objects[3].event, objects[4].event })
    assert.equal(loop.history[2].val_loss, objects[4].val_loss)
    assert.equal(4, objects[4].step)
    assert.equal(0.1, objects[4].learning_rate)
  end)

  it("goes on when the disk is full", function()
    local loop, _, outcome = fit({ train.jsonl_logger "/dev/full" }, 2)
    assert.equal("finished", outcome)
    assert.equal(2, #loop.history)
  end)
end)

describe("train.csv_logger", function()
  it("writes a head and a row per epoch", function()
    local loop = fit { train.csv_logger(folder .. "/m.csv") }
    local text = lines(read "m.csv")
    assert.equal("epoch,step,learning_rate,loss,val_loss", text[1])
    assert.equal(("2,4,0.1,%.9g,%.9g"):format(loop.history[2].loss, loop.history[2].val_loss), text[3])
  end)
end)

describe("train.lr_schedule", function()
  it("sets the rate before every update", function()
    local seen = {}
    fit({ train.lr_schedule(function(step, steps) return (step + 1) / steps end), function(loop, event)
      if event == "update_start" then seen[#seen + 1] = loop.optimizer.learning_rate end
    end }, 2)
    assert.close({ 0.25, 0.5, 0.75, 1 }, seen)
  end)

  it("wants a number from its function", function()
    assert.raises_like(function() fit { train.lr_schedule(function() return "x" end) } end,
      "the schedule gave x for step 0 of 4: a number expected")
    assert.raises_like(function() train.lr_schedule(0.1) end, "function (step, steps) expected, got number")
  end)
end)

describe("train.freezing", function()
  local nn = convlua.nn

  -- Trains two layers, the first one's bias fixed, for four epochs, of which choose(model, epoch, epochs) freezes
  -- modules. The model, the first weight before the fit and after each epoch, and the error there was.
  local function train_two(choose)
    convlua.manual_seed(2)
    local model = nn.Sequential { nn.Dense { input_size = 2, output_size = 3 }, nn.Dense { input_size = 3, output_size = 1 } }
    model[1].bias.requires_grad = false
    local seen = { model[1].weight:to_table() }
    local freezing = train.freezing(function(...) return choose(model, ...) end)
    local loop = train.Loop { training = { { convlua.ones { 4, 2 }, convlua.zeros { 4, 1 } } },
      optimizer = convlua.optim.SGD(model, { learning_rate = 0.1, momentum = 0.5 }), loss = toy.loss,
      callbacks = { freezing, function(_, event)
        if event == "epoch_end" then seen[#seen + 1] = model[1].weight:to_table() end
      end } }
    local ok, problem = pcall(loop.fit, loop, model, { epochs = 4 })
    return model, seen, not ok and problem or nil
  end

  it("leaves modules as they are in the epochs that name them", function()
    local _, seen = train_two(function(model, epoch, epochs)
      if epoch > 1 and epoch < epochs then return { model[1] } end
    end)
    assert.not_same(seen[1], seen[2])
    assert.same(seen[2], seen[3])
    assert.same(seen[3], seen[4])
    assert.not_same(seen[4], seen[5])
  end)

  it("frees after the fit what it froze, and only that", function()
    local model = train_two(function(model) return { model[1] } end)
    assert.is_true(model[1].weight.requires_grad)
    assert.is_false(model[1].bias.requires_grad)
  end)

  it("names what is no module", function()
    local function fails_with(text, value)
      local _, _, problem = train_two(function() return value end)
      assert.matches(text, problem, 1, true)
    end
    fails_with("'freezing' at epoch_start: a list of layers and modules expected, got number", 3)
    fails_with("'freezing' at epoch_start: 1 in the list: a layer or a module expected, got string", { "stem" })
    assert.raises_like(function() train.freezing {} end, "freezing: function (epoch, epochs) expected, got table")
  end)
end)

describe("train.progressive_resizing", function()
  local pool = convlua.nn.GlobalAvgPool2D {}

  -- Sizes of what the model gets, each batch's, in three epochs of one training and one validation image.
  local function sizes(callback)
    local seen, model = {}, toy.model(0)
    local images = { { convlua.ones { 1, 8, 8, 1 }, convlua.zeros { 1, 1 } } }
    local loop = train.Loop { training = images, validation = images, optimizer = toy.optimizer(model),
      loss = toy.loss, callbacks = { callback } }
    loop:fit(convlua.nn.Function(function(x)
      seen[#seen + 1] = table.concat(x.shape, "x", 2, 3)
      return model(pool(x))
    end), { epochs = 3 })
    return seen
  end

  it("gives training images the size of their epoch, validation those there are", function()
    local callback = train.progressive_resizing(function(epoch, epochs)
      if epoch < epochs then return epoch == 1 and 4 or { 5, 6 } end
    end)
    assert.same({ "4x4", "8x8", "5x6", "8x8", "8x8", "8x8" }, sizes(callback))
  end)

  it("resizes in float32 in a loop of another precision", function()
    convlua.manual_seed(1)
    local images, model, seen = convlua.randn { 1, 8, 8, 1 }, toy.model(0), nil
    local loop = train.Loop { training = { { images, convlua.zeros { 1, 1 } } }, precision = "bf16-full",
      optimizer = toy.optimizer(model), loss = toy.loss,
      callbacks = { train.progressive_resizing(function() return 5 end) } }
    loop:fit(convlua.nn.Function(function(x)
      seen = convlua.keep(x:clone())
      return model(pool(x))
    end), { epochs = 1 })
    assert.close(convlua.nn.resize(images, { size = 5 }), seen, 0)
  end)

  it("names a size that is none", function()
    assert.raises_like(function() sizes(train.progressive_resizing(function() return "half" end)) end,
      "'progressive_resizing' at batch_start: resize: size must be a whole number from 1, or a list of 2 of them, got half")
    assert.raises_like(function() train.progressive_resizing(20) end, "function (epoch, epochs) expected, got number")
  end)
end)

describe("train.early_stopping", function()
  it("ends the fit when the metric has not got better for `patience` epochs", function()
    local stopper = train.early_stopping { metric = "val_accuracy", patience = 2 }
    local loop, _, outcome = fit({ pretend("val_accuracy", { 0.3, 0.5, 0.5, 0.4, 0.9 }), stopper }, 5)
    assert.equal("cancelled", outcome)
    assert.equal(4, #loop.history)
    assert.same({ 0.5, 2 }, { stopper.best, stopper.best_epoch })
  end)

  it("knows that losses get better by falling, and by how much they must", function()
    local loop = fit({ pretend("val_loss", { 1, 0.95, 0.91, 0.5 }),
      train.early_stopping { patience = 2, min_delta = 0.1 } }, 4)
    assert.equal(3, #loop.history)
  end)
end)

describe("train.batch_norm_statistics", function()
  local nn, optim = convlua.nn, convlua.optim
  local data = {}

  -- Some epochs of a small model with a BatchNorm behind a Dense layer.
  local function run(callbacks)
    convlua.manual_seed(3)
    for i = 1, 4 do data[i] = { convlua.randn { 6, 5 } * i + i, convlua.tensor({ 1, 2, 1, 2, 1, 2 }, { dtype = "int64" }) } end
    local model = nn.Sequential { nn.Dense { input_size = 5, output_size = 4, activation = "relu" },
      nn.BatchNorm { feature_count = 4, momentum = 0.7 }, nn.Dropout { rate = 0.5 },
      nn.Dense { input_size = 4, output_size = 2 } }
    train.Loop { training = data, validation = data, callbacks = callbacks,
      optimizer = optim.SGD(model, { learning_rate = 0.05 }), loss = nn.softmax_cross_entropy }:fit(model, { epochs = 3 })
    return model
  end

  it("are the means of some batches' own, with the weights as they are", function()
    local model = run { train.batch_norm_statistics { data = data, batches = 3 } }
    local mean, var = 0, 0
    for i = 1, 3 do
      local z = model[1](data[i][1]):detach()
      local m = z:mean { axis = 1, keep = true }
      mean, var = mean + m * (1 / 3), var + (z - m):square():mean { axis = 1 } * (1 / 3)
    end
    assert.close(mean:reshape { 4 }, model[2].running_mean, 1e-5)
    assert.close(var, model[2].running_var, 1e-5)
  end)

  it("leave training alone", function()
    local plain, exact = run {}, run { train.batch_norm_statistics { data = data } }
    local none = run { train.batch_norm_statistics { data = data, batches = 0 } }
    for path, parameter in plain:named_parameters() do
      for name, other in exact:named_parameters() do
        if name == path then assert.same(parameter:detach():to_bytes(), other:detach():to_bytes()) end
      end
    end
    assert.same(plain[2].running_var:to_bytes(), none[2].running_var:to_bytes())
    assert.not_same(plain[2].running_var:to_bytes(), exact[2].running_var:to_bytes())
    assert.is_false(exact.training)
  end)

  it("stay where there is no batch", function()
    local model = run { train.batch_norm_statistics { data = {} } }
    assert.same(run {}[2].running_mean:to_bytes(), model[2].running_mean:to_bytes())
  end)

  it("want data and a number of batches", function()
    assert.raises_like(function() train.batch_norm_statistics {} end, "batch_norm_statistics: data: a loader")
    assert.raises_like(function() train.batch_norm_statistics { data = data, batches = -1 } end,
      "batches must be a whole number from 0, got -1")
  end)
end)

describe("train.plot", function()
  it("draws the curves after every epoch", function()
    fit { train.plot(folder .. "/c.svg", folder .. "/c.png") }
    assert.matches("^<%?xml", read "c.svg")
    assert.equal("\137PNG\r\n\26\n", read("c.png"):sub(1, 8))
    assert.raises_like(function() train.plot "c.gif" end, "paths that end in .svg or .png expected")
  end)
end)

describe("train.nan_guard", function()
  it("gives up when too many batches in a row are not finite", function()
    local bad = {}
    for i = 1, 4 do bad[i] = { convlua.tensor { 0 / 0 }, convlua.tensor { 1 } } end
    local told = sink()
    local guard = train.nan_guard { limit = 3, file = told }
    assert.raises_like(function() fit({ guard }, 1, { non_finite = "skip", training = bad }) end,
      "3 batches in a row were not finite")
    assert.equal(3, guard.total)
    assert.equal(3, #lines(told.text()))
  end)
end)

describe("train.ema", function()
  it("puts the average of the weights into validation and the final model", function()
    local raw = {}
    local _, model = fit({ train.ema { decay = 0.5 }, function(loop, event)
      if event == "batch_end" and loop.phase == "training" then raw[#raw + 1] = loop.model:value() end
    end }, 1)
    assert.close(0.5 * (0.5 * 0 + 0.5 * raw[1]) + 0.5 * raw[2], model:value(), 1e-6)
  end)
end)
