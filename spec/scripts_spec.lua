-- The scripts, run as a user runs them, on a handful of drawn figures.

local core = require "convlua.core"
local json = require "convlua.json"
local command = require "spec.support.command"
local run = command.run

local folder

setup(function()
  folder = os.tmpname()
  os.remove(folder)
  core.io.make_folder(folder)
end)

teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

local function read(name) return core.io.read_file(folder .. "/" .. name) end

-- train_cifar.lua on 256 figures with LeNet.
local function train(name, ...)
  return run { "scripts/train_cifar.lua", "--data", "shapes10", "--model", "lenet", "--batch-size", "32",
    "--train-count", "256", "--out", folder .. "/" .. name, ... }
end

describe("scripts/train_cifar.lua", function()
  it("leaves a folder with everything about the run", function()
    local r = train("whole", "--epochs", "3")
    assert.equal("", r.err)
    assert.equal(0, r.status)
    assert.matches("lenet on Shapes10, 62006 parameters", r.out)
    assert.matches("epoch 3/3  8/8 %[==========%] .* val_accuracy 0%.", r.out)
    assert.matches("accuracy over the whole training set, in inference mode, 0%.", r.out)
    assert.same({ "best.npz", "curves.png", "curves.svg", "last.npz", "metrics.jsonl", "options.json",
      "previous.npz" }, core.io.list_folder(folder .. "/whole"))
    local o = json.decode(read "whole/options.json")
    assert.same({ "lenet", 32, 3, 0.01, "Shapes10" }, { o.model, o.batch_size, o.epochs, o.lr, o.data_set })
    assert.equal(3, select(2, read "whole/metrics.jsonl":gsub("\n", "")))
  end)

  it("goes on from a finished run as if it had been told so at first", function()
    assert.equal(0, train("short", "--epochs", "1").status)
    local r = run { "scripts/train_cifar.lua", "--resume", folder .. "/short", "--epochs", "3", "--threads", "1" }
    assert.equal(0, r.status)
    assert.equal(core.io.sha1(read "whole/last.npz"), core.io.sha1(read "short/last.npz"))
  end)

  it("goes on from the state before when the last one is damaged, and says so", function()
    assert.equal(0, train("hurt", "--epochs", "2").status)
    local last, previous = folder .. "/hurt/last.npz", folder .. "/hurt/previous.npz"
    core.io.write_file(last, read("hurt/last.npz"):sub(1, 5000))
    local resume = { "scripts/train_cifar.lua", "--resume", folder .. "/hurt", "--epochs", "3" }
    local r = run(resume)
    assert.equal(0, r.status)
    assert.matches("^resume: [^\n]*/hurt/last.npz[^\n]*; going on from '[^\n]*/hurt/previous.npz'\n$", r.err)
    assert.equal(core.io.sha1(read "whole/last.npz"), core.io.sha1(read "hurt/last.npz"))
    core.io.write_file(last, "")
    os.remove(previous)
    r = run(resume)
    assert.equal(1, r.status)
    assert.matches("last.npz.*; .*previous.npz': No such file", r.err)
  end)

  it("stops at a signal with a checkpoint and 128 + its number, and goes on to the same bits", function()
    local program = core.env.program()
    for name, signal in pairs { INT = 2, TERM = 15 } do
      local out = folder .. "/" .. name
      local line = ("'%s' scripts/train_cifar.lua --data shapes10 --model lenet --batch-size 32 --train-count 256 "
        .. "--epochs 3 --out '%s' >/dev/null & p=$!; "
        .. "while ! grep -q '\"epoch\":1' '%s/metrics.jsonl' 2>/dev/null; do sleep 0.01; done; "
        .. "kill -%s $p; wait $p"):format(program, out, out, name)
      local _, _, status = os.execute(line)
      if status ~= 0 then -- 0: it was faster than the signal
        assert.equal(128 + signal, status)
        assert.equal(0, run({ "scripts/train_cifar.lua", "--resume", out }).status)
      end
      assert.equal(core.io.sha1(read "whole/last.npz"), core.io.sha1(read(name .. "/last.npz")))
    end
  end)

  it("goes on with Muon and the optimizer beside it", function()
    local function muon(name, epochs)
      return train(name, "--optimizer", "muon", "--batch-size", "128", "--epochs", epochs).status
    end
    assert.equal(0, muon("muon", "2"))
    assert.equal(0, muon("muon.short", "1"))
    assert.equal(0, run { "scripts/train_cifar.lua", "--resume", folder .. "/muon.short", "--epochs", "2" }.status)
    assert.equal(core.io.sha1(read "muon/last.npz"), core.io.sha1(read "muon.short/last.npz"))
    local o = json.decode(read "muon/options.json")
    assert.same({ "muon", 0.05, "constant", "lenet" }, { o.optimizer, o.lr, o.schedule, o.preset })
  end)

  it("trains on Shapes10 where CIFAR-10 is not to be had, and says so aloud", function()
    local r = run({ "scripts/train_cifar.lua", "--model", "lenet",
      "--no-download", "--epochs", "0", "--out", folder .. "/none" },
      { before = "cp -r scripts '" .. folder .. "' && cd '" .. folder .. "' && env HOME='" .. folder
        .. "' XDG_CACHE_HOME= CONVLUA_DATA=" })
    assert.matches("| NO CIFAR%-10: training on Shapes10 instead", r.err)
    assert.matches("lenet on Shapes10", r.out)
    assert.equal(0, r.status)
  end)

  it("refuses wrong options with status 2 and a reason", function()
    for _, case in ipairs {
      { { "--epoch", "3" }, "unknown option '--epoch'" },
      { { "--epochs" }, "option '--epochs' needs a value" },
      { { "--epochs", "many" }, "--epochs must be a whole number, got 'many'" },
      { { "--batch-size=0" }, "--batch-size must be 1 or more, got '0'" },
      { { "--momentum", "1.5" }, "--momentum must be from 0 to 1, got '1.5'" },
      { { "--stem", "big" }, "--stem must be one of imagenet, cifar, got 'big'" },
      { { "--augment=yes" }, "option '--augment' takes no value" },
      { { "cifar" }, "unexpected word 'cifar'" },
    } do
      local r = run { "scripts/train_cifar.lua", table.unpack(case[1]) }
      assert.same({ 2, case[2] .. "\nTry --help.\n" }, { r.status, r.err })
    end
    assert.matches("^usage: train_cifar.lua", run({ "scripts/train_cifar.lua", "--help" }).out)
  end)
end)

describe("scripts/classify.lua", function()
  it("names what a picture shows, by the run's own options", function()
    local images = core.data.shapes10 { count = 2 }
    core.io.write_png(folder .. "/a.png", images[1])
    local r = run { "scripts/classify.lua", "--checkpoint", folder .. "/whole/best.npz", "--top", "3",
      folder .. "/a.png" }
    assert.equal("", r.err)
    assert.equal(0, r.status)
    assert.equal(4, select(2, r.out:gsub("\n", "")))
    assert.matches("a%.png\n +%d+%.%d%d %%  %l+", r.out)
  end)

  it("goes on after a file that is no picture, with status 1", function()
    core.io.write_file(folder .. "/b.png", "not a picture")
    local r = run { "scripts/classify.lua", "--checkpoint", folder .. "/whole/last.npz", folder .. "/b.png",
      folder .. "/a.png" }
    assert.equal(1, r.status)
    assert.matches("b%.png: ", r.err)
    assert.matches("a%.png\n", r.out)
  end)

  it("wants a checkpoint with its options beside", function()
    assert.equal(2, run({ "scripts/classify.lua", "x.png" }).status)
    local r = run { "scripts/classify.lua", "--checkpoint", "/tmp/x.npz", "x.png" }
    assert.matches("no options%.json beside", r.err)
  end)
end)

describe("scripts/bench.lua", function()
  it("measures, and writes the numbers as JSON", function()
    local r = run { "scripts/bench.lua", "lenet", "peak", "--seconds", "0.01", "--batch-size", "8", "--json",
      folder .. "/bench.json" }
    assert.equal(0, r.status)
    assert.matches("lenet step +%d+%.%d+ ms", r.out)
    local numbers = json.decode(read "bench.json")
    assert.equal("lenet step", numbers.measurements[1].name)
    assert.equal(2, run({ "scripts/bench.lua", "speed" }).status)
  end)

  it("measures of the convolutions, products and models only those that --only names", function()
    local r = run { "scripts/bench.lua", "layers", "gemm", "mlp", "inference", "--only",
      "14x14 256>512 1x1/2,256^3 float64,imagenet stem", "--batch-size", "2", "--seconds", "0.01" }
    assert.equal(0, r.status)
    assert.matches("conv 14x14 256>512 1x1/2 +forward", r.out)
    assert.matches("inference, imagenet stem, 1 ", r.out)
    local _, lines = r.out:gsub("\n", "")
    assert.equal(5, lines) -- the machine, then two sizes and one model with two batches
  end)

  it("says so when --only leaves nothing", function()
    local r = run { "scripts/bench.lua", "layers", "--only", "no such size", "--seconds", "0.01" }
    assert.equal(2, r.status)
    assert.matches("%-%-only no such size: none of the sizes has that", r.err)
  end)
end)

describe("scripts/speedrun_cifar.lua", function()
  it("trains once for each seed and tells the mean", function()
    local r = run { "scripts/speedrun_cifar.lua", "--data", "shapes10", "--train-count", "100", "--batch-size", "50",
      "--epochs", "2", "--small-epochs", "1", "--frozen-epochs", "1", "--small-size", "12", "--seeds", "2", "--validation-count", "100" }
    assert.same({ 0, "" }, { r.status, r.err })
    local first, second = r.out:match "seed 1: .* views (0%.%d+), in .*seed 2: .* views (0%.%d+), in"
    assert.matches(("mean of 2: %.4f, the longest in"):format((tonumber(first) + tonumber(second)) / 2), r.out)
  end)

  it("leaves products in float32 where the CPU does not multiply bfloat16 itself", function()
    local r = run({ "scripts/speedrun_cifar.lua", "--help" }, { before = "CONVLUA_ISA=baseline" })
    assert.matches("bf16%-full %(float32%)\n", r.out)
  end)
end)
