-- Metrics, against counting by hand.

local convlua = require "convlua"
local metrics = convlua.metrics

local logits = convlua.tensor {
  { 5, 1, 2, 3, 4, 0 }, -- order 1 5 4 3 2 6
  { 0, 1, 2, 3, 4, 5 }, -- order 6 5 4 3 2 1
  { 0, 9, 8, 7, 6, 5 }, -- order 2 3 4 5 6 1
}

local function labels(list) return convlua.tensor(list, { dtype = "int64" }) end

describe("metrics", function()
  it("accuracy counts the largest logits that are the label's", function()
    assert.equal(2, metrics.correct(logits, labels { 1, 6, 3 }))
    assert.equal(0, metrics.correct(logits, labels { 2, 1, 1 }))
  end)

  it("accuracy takes distributions too", function()
    assert.equal(1, metrics.correct(logits, convlua.eye(6)[{ { 1, 3 } }]))
  end)

  it("top5_accuracy counts labels among the five largest", function()
    assert.equal(1, metrics.correct_among(logits, labels { 6, 1, 6 }, 5))
    assert.equal(3, metrics.correct_among(logits, labels { 2, 2, 6 }, 5))
  end)

  it("are weighted by the number of samples", function()
    local meter = metrics.meter { "loss", "accuracy", "top5_accuracy", "perplexity",
      rows = function(output) return output:size(1) end }
    meter:update { last_input = logits, last_output = logits, last_target = labels { 1, 6, 3 },
      last_loss_value = 1 }
    meter:update { last_input = logits[{ { 1, 1 } }], last_output = logits[{ { 1, 1 } }],
      last_target = labels { 6 }, last_loss_value = 5 }
    local stats = {}
    meter:write(stats, "val_")
    assert.close(2, stats.val_loss)
    assert.close(math.exp(2), stats.val_perplexity)
    assert.close(2 / 4, stats.val_accuracy)
    assert.close(3 / 4, stats.val_top5_accuracy)
    assert.close((3 * 3 + 1) / 4, stats.val_rows)
  end)

  it("go on from their state", function()
    local a, b, stats = metrics.meter { "loss" }, metrics.meter { "loss" }, {}
    local batch = { last_input = logits, last_loss_value = 3 }
    a:update(batch)
    b:load_state(a:state())
    batch.last_loss_value = 1
    b:update(batch)
    b:write(stats, "")
    assert.close(2, stats.loss)
  end)

  it("may be objects of the user's", function()
    local largest = { name = "largest" }
    function largest:reset() self.v = -math.huge end
    function largest:update(loop) self.v = math.max(self.v, loop.last_loss_value) end
    function largest:value() return self.v end
    local meter, stats = metrics.meter { largest }, {}
    for _, loss in ipairs { 1, 7, 3 } do meter:update { last_loss_value = loss } end
    meter:write(stats, "")
    assert.same({ largest = 7 }, stats)
    assert.raises_like(function() metrics.meter { { name = "half" } } end, "'half': it has no method reset")
  end)
end)
