-- nn.Module and what it is made of: parts and their paths, phases, errors, summaries.

local convlua = require "convlua"
local nn = convlua.nn

local Linear = nn.Module("Linear", function(self, o)
  self.weight = convlua.ones({ o.from, o.to }, { requires_grad = true })
  self.mean = convlua.zeros { o.to }
end)
function Linear:forward(x) return x:matmul(self.weight) - self.mean end

local Net = nn.Module("Net", function(self)
  self.layers = {}
  for i = 1, 11 do self.layers[i] = Linear { from = 2, to = 2 } end
  self.head = nn.Dense { input_size = 2, output_size = 3 }
end)
function Net:forward(x)
  for _, layer in ipairs(self.layers) do x = layer(x) end
  return self.head(x)
end

local function paths(iterator)
  local list = {}
  for path in iterator do list[#list + 1] = path end
  return list
end

describe("a module", function()
  it("is called as a function", function()
    assert.close(Linear { from = 2, to = 2 }(convlua.tensor { { 1, 2 } }), { { 3, 3 } })
  end)

  it("hands all arguments to forward and all results back", function()
    local Swap = nn.Module "Swap"
    Swap.forward = function(_, a, b) return b, a end
    assert.same({ 2, 1 }, { Swap()(1, 2) })
  end)

  it("lists parameters by path, integers by value", function()
    local list = paths(Net():named_parameters())
    assert.equal("head.bias", list[1])
    assert.equal("head.weight", list[2])
    assert.equal("layers.1.weight", list[3])
    assert.equal("layers.2.weight", list[4])
    assert.equal("layers.11.weight", list[13])
    assert.equal(13, #list)
    assert.equal(13, #Net():parameters())
  end)

  it("lists tensors that require no gradients as buffers", function()
    local list = paths(Net():named_buffers())
    assert.equal(11, #list)
    assert.equal("layers.11.mean", list[11])
    assert.equal(11, #Net():buffers())
  end)

  it("counts the numbers to train", function()
    assert.equal(11 * 4 + 2 * 3 + 3, Net():count_parameters())
  end)

  it("does not look at private fields, results, or foreign objects", function()
    local net = Linear { from = 2, to = 2 }
    net._cache = convlua.zeros { 5 }
    net.last = net.weight * 2
    net.other = setmetatable({ w = convlua.zeros { 5 } }, {})
    assert.same({ "weight" }, paths(net:named_parameters()))
    assert.same({ "mean" }, paths(net:named_buffers()))
  end)

  it("lists what it shares once, also in a cycle", function()
    local net = Net()
    net.again, net.itself, net.tied = net.layers[1], net, { net.layers[2].weight }
    local list = paths(net:named_parameters())
    assert.equal(13, #list)
    assert.equal("again.weight", list[1])
    assert.truthy(tostring(net):find("Net", 1, true))
  end)

  it("finds tensors that two layers share through different handles", function()
    local a = Linear { from = 2, to = 2 }
    local model = nn.Sequential { nn.Dense { input_size = 2, output_size = 2 }, a }
    a.weight = model[1].weight
    assert.same({ "1.bias", "1.weight" }, paths(model:named_parameters()))
  end)

  it("prints as a tree with options and numbers of parameters", function()
    local text = tostring(nn.Sequential {
      nn.Sequential { { conv = nn.Conv2D { filter_shape = { 3, 3, 1, 2 } } }, nn.relu },
      nn.Flatten {},
    })
    assert.equal("Sequential  20 parameters\n" ..
      "  1: Sequential  20 parameters\n" ..
      "    conv: Conv2D{filter_shape = {3, 3, 1, 2}}  20 parameters\n" ..
      "  2: Flatten{}", text)
  end)

  it("says when it has no forward", function()
    assert.raises_like(function() nn.Module("Empty")()(1) end,
      "module 'Empty' has no forward; define function Empty:forward(x)")
    assert.raises_like(function() nn.Module(3) end, "the class's name expected, got number")
  end)

  it("turns every part to a phase and back", function()
    local net = nn.Sequential { Net(), nn.Dropout { rate = 0.5 }, nn.Dense { input_size = 3,
      output_size = 3 } }
    assert.is_true(net.training and net[1].training and net[2].training)
    assert.equal(net, net:eval())
    assert.is_false(net.training or net[1].training or net[1].layers[3].training or net[2].training)
    assert.is_true(net:train()[1].layers[3].training)
  end)

  it("becomes double precision, gradients and sharing kept", function()
    local net = Net()
    net.tied = net.layers[1].weight
    net:to "float64"
    for _, tensor in net:named_parameters() do
      assert.equal("float64", tensor.dtype)
      assert.is_true(tensor.requires_grad and tensor.is_leaf)
    end
    assert.equal("float64", net.layers[1].mean.dtype)
    assert.is_true(net.tied:is_same(net.layers[1].weight))
    assert.equal("float64", net(convlua.ones({ 1, 2 }, { dtype = "float64" })).dtype)
  end)

  it("keeps what it was moved to beyond the scope it was moved in", function()
    local net = Net()
    convlua.scope(function() net:to "float64" end)
    assert.equal(2, net.layers[1].weight:size(1))
  end)

  it("forgets gradients", function()
    local net = Net()
    net(convlua.ones { 1, 2 }):sum():backward()
    assert.truthy(net.layers[1].weight.grad and net.head.weight.grad)
    net:zero_grad()
    assert.is_nil(net.layers[1].weight.grad or net.head.weight.grad)
  end)
end)

describe("an error in forward", function()
  it("names the part, however deep", function()
    local net = nn.Sequential { Net(), { tail = nn.Sequential { Net(), Net() } } }
    net.tail[2].layers[7].weight = convlua.ones({ 5, 2 }, { requires_grad = true })
    net[1].head, net.tail[1].head = nn.identity, nn.identity
    assert.raises_like(function() net(convlua.ones { 1, 2 }) end, "in 'tail.2.layers.7': ")
  end)

  it("names a layer written in C", function()
    local net = Net()
    net.head = nn.Dense { input_size = 5, output_size = 2 }
    assert.raises_like(function() net(convlua.ones { 1, 2 }) end, "in 'head': ")
  end)

  it("leaves error objects as they are, and the next call untouched", function()
    local object = {}
    local Thrower = nn.Module "Thrower"
    Thrower.forward = function() error(object) end
    local ok, problem = pcall(Thrower(), 1)
    assert.is_false(ok)
    assert.equal(object, problem)
    assert.equal(3, Net()(convlua.ones { 1, 2 }):size(2))
  end)
end)

describe("nn.Sequential", function()
  it("calls its parts in order, functions too", function()
    local function plus_one(x) return x + 1 end
    local net = nn.Sequential { plus_one, nn.relu, function(x) return x * 2 end }
    assert.close(net(convlua.tensor { -3, 1 }), { 0, 4 })
    assert.equal(3, #net)
  end)

  it("knows its parts by name", function()
    local net = nn.Sequential { { dense = nn.Dense { input_size = 1, output_size = 1 } },
      { act = nn.relu } }
    assert.same({ "dense.bias", "dense.weight" }, paths(net:named_parameters()))
    assert.equal("Dense", net.dense.type)
  end)

  it("does nothing when empty", function()
    assert.equal(7, nn.Sequential {}(7))
  end)

  it("refuses what it cannot call and names without an order", function()
    assert.raises_like(function() nn.Sequential { nn.relu, 3 } end,
      "Sequential: a layer, module or function expected at position 2, got number")
    assert.raises_like(function() nn.Sequential { conv = nn.relu } end,
      "write { conv = layer } in a list of such")
    assert.raises_like(function() nn.Sequential { { a = nn.relu }, { a = nn.relu } } end,
      "the name 'a' is taken")
    assert.raises_like(function() nn.Sequential { { a = nn.relu, b = nn.relu } } end,
      "{ name = layer } expected at position 1")
    assert.raises_like(function() nn.Sequential(3) end, "a table of layers expected, got number")
  end)
end)

describe("other containers", function()
  it("nn.Function makes a module of a function", function()
    assert.close(nn.Function(function(x) return x * 3 end)(convlua.tensor { 1, 2 }), { 3, 6 })
  end)

  it("nn.Residual adds what goes around its block", function()
    local x = convlua.tensor { -1, 2 }
    local function double(t) return t * 2 end
    assert.close(nn.Residual { block = double }(x), { -3, 6 })
    assert.close(nn.Residual { block = double, activation = nn.relu }(x), { 0, 6 })
    assert.close(nn.Residual { block = double, projection = double }(x), { -4, 8 })
    assert.raises_like(function() nn.Residual {} end, "Residual: option 'block' is missing")
    assert.raises_like(function() nn.Residual { block = double, by = 1 } end,
      "Residual: unknown option 'by'; there are activation, block, projection")
  end)

  it("x:through calls one after the other", function()
    local function plus_one(x) return x + 1 end
    assert.close(convlua.tensor { 1 }:through(plus_one, nn.relu, plus_one), { 3 })
  end)
end)

describe("a lone layer", function()
  it("is a model", function()
    local layer = nn.Dense { input_size = 2, output_size = 3 }
    assert.same({ "bias", "weight" }, paths(layer:named_parameters()))
    assert.equal(9, layer:count_parameters())
    assert.equal(6, layer:summary({ 2 }).multiply_adds)
    layer(convlua.ones { 1, 2 }):sum():backward()
    assert.is_nil(layer:zero_grad().weight.grad)
  end)
end)

describe("losses", function()
  it("take options ahead of time", function()
    local logits = convlua.tensor { { 1, 2, 3 } }
    local labels = convlua.tensor({ 2 }, { dtype = "int64" })
    local smooth = nn.softmax_cross_entropy { label_smoothing = 0.3 }
    assert.close(smooth(logits, labels),
      nn.softmax_cross_entropy(logits, labels, { label_smoothing = 0.3 }):item())
    assert.equal(1, smooth(logits, labels, { reduction = "none" }):size(1))
  end)
end)

describe("nn.watch", function()
  it("tells of every call of a layer or inner module", function()
    local inner = nn.Sequential { nn.Flatten {}, nn.relu }
    local net = nn.Sequential { inner, nn.Dense { input_size = 4, output_size = 1 } }
    local seen = {}
    local y = nn.watch(function(part, inputs, output)
      seen[#seen + 1] = { part.type or part.__name, inputs[1].ndim, output.ndim }
    end, net, convlua.ones { 1, 2, 2 })
    assert.same({ { "Flatten", 3, 2 }, { "Sequential", 3, 2 }, { "Dense", 2, 2 } }, seen)
    assert.equal(1, y:numel())
  end)

  it("tells of layer:forward(x) too", function()
    local dense, seen = nn.Dense { input_size = 4, output_size = 1 }, nil
    nn.watch(function(part) seen = part end, function() dense:forward(convlua.ones { 1, 4 }) end)
    assert.equal(dense, seen)
  end)

  it("ends with an error too", function()
    local dense, calls = nn.Dense { input_size = 4, output_size = 1 }, 0
    assert.raises_like(function()
      nn.watch(function() calls = calls + 1 end, function()
        dense(convlua.ones { 1, 4 })
        error "on purpose"
      end)
    end, "on purpose")
    dense(convlua.ones { 1, 4 })
    assert.equal(1, calls)
  end)
end)

describe("a summary", function()
  local function chain(...) return nn.Sequential { ... } end
  local function conv(f, s, d)
    return nn.Conv1D { filter_shape = { f, 1, 1 }, strides = s or 1, dilations = d or 1 }
  end

  it("lists layers in the order of their calls", function()
    local net = chain(nn.Conv2D { filter_shape = { 3, 3, 1, 4 } }, nn.relu, nn.Flatten {},
      nn.Dense { input_size = 4 * 36, output_size = 2 })
    local s = net:summary { 8, 8, 1 }
    local first, last = s.rows[1], s.rows[3]
    assert.equal("1", first.path)
    assert.equal("Conv2D", first.layer)
    assert.same({ 6, 6, 4 }, first.output_shape)
    assert.equal(40, first.parameters)
    assert.equal(6 * 6 * 9 * 4, first.multiply_adds)
    assert.same({ 3, 3 }, first.receptive_field)
    assert.equal("all", last.receptive_field)
    assert.equal("4", last.path)
    assert.same({ 2 }, s.output_shape)
    assert.equal(40 + 4 * 36 * 2 + 2, s.parameters)
    assert.equal(6 * 6 * 9 * 4 + 4 * 36 * 2, s.multiply_adds)
    assert.truthy(tostring(s):find("1,296", 1, true))
  end)

  it("follows receptive fields through strides and dilations", function()
    local s = chain(conv(3, 2), conv(3, 1, 2), conv(2)):summary { 64, 1 }
    assert.same({ 3 }, s.rows[1].receptive_field)
    assert.same({ 3 + 2 * 2 * 2 }, s.rows[2].receptive_field)
    assert.same({ 11 + 2 }, s.rows[3].receptive_field)
  end)

  it("takes the larger field where branches meet", function()
    local long, short = conv(5), conv(1)
    local Branches = nn.Module("Branches", function(self)
      self.long, self.short, self.last = long, short, conv(3)
    end)
    function Branches:forward(x)
      local a = self.long(x)
      local b = self.short(x):slice(2, 3, -3)
      return self.last((a + b):relu())
    end
    local s = Branches():summary { 20, 1 }
    assert.same({ 1 }, s.rows[2].receptive_field)
    assert.same({ 7 }, s.rows[3].receptive_field)
  end)

  it("sees that up-sampling brings neighbours closer", function()
    local s = chain(conv(2, 2), nn.UpSampling1D { size = 2 }, conv(3)):summary { 16, 1 }
    assert.same({ 2 }, s.rows[2].receptive_field)
    assert.same({ 4 }, s.rows[3].receptive_field)
  end)

  it("counts a shared layer's parameters once and its work each time", function()
    local layer = conv(1)
    local s = chain(layer, layer):summary { 4, 1 }
    assert.equal(2, #s.rows)
    assert.equal(2, s.parameters)
    assert.equal(0, s.rows[2].parameters)
    assert.equal(8, s.multiply_adds)
  end)

  it("leaves phases, gradients and running statistics alone", function()
    local norm = nn.BatchNorm { feature_count = 1 }
    local net = chain(norm, nn.Dropout { rate = 0.5 })
    norm:eval()
    net:summary { 4, 1 }
    assert.is_false(norm.training)
    assert.is_true(net.training and net[2].training)
    assert.close(norm.running_var, { 1 })
  end)

  it("wants a shape", function()
    assert.raises_like(function() chain(conv(1)):summary() end,
      "summary: the shape of one input expected, such as {32, 32, 3}, got nil")
  end)
end)

describe("nn.views", function()
  local function model(x) return x:slice(2, 1, 1):slice(3, 1, 1):reshape(-1, 1) end -- the corner's pixel
  local x = convlua.arange(1, 9):to("float32"):reshape(1, 3, 3, 1)

  it("is the mean over the images and what was asked for", function()
    assert.close({ { 1 } }, nn.views(model)(x))
    assert.close({ { 2 } }, nn.views(model, { flip = true })(x)) -- 1 and 3
    -- moved by one: 5 at the corner either way, by reflection (5 again) and by the move
    assert.close({ { 1 / 2 + 5 / 4 + 5 / 4 } }, nn.views(model, { shift = 1 })(x))
    assert.raises_like(function() nn.views(model, { flips = true }) end, "views: unknown option 'flips'")
  end)
end)

describe("nn.resize", function()
  local function row(values) return convlua.tensor(values, { dtype = "float64" }):reshape(1, -1, 1) end
  local function resized(values, o) return nn.resize(row(values), o):reshape(-1) end

  it("takes means of the area that a pixel covers", function()
    assert.close({ 1.5, 3.5 }, resized({ 1, 2, 3, 4 }, { size = 2 }))
    assert.close({ 4 / 3, 8 / 3 }, resized({ 1, 2, 3 }, { size = 2 })) -- a pixel and a half each
    assert.close({ 1, 1.5, 2 }, resized({ 1, 2 }, { size = 3 }))
  end)

  it("weighs linearly by distance", function()
    assert.close({ 1, 1.25, 1.75, 2 }, resized({ 1, 2 }, { size = 4, mode = "bilinear" }))
    -- 3 pixels at 1/2, 3/2, 5/2, seen from 3/4 and 9/4 with a reach of 3/2: 5/6, 1/2 and 0 before division
    assert.close({ (5 + 2 * 3) / 8, (2 * 3 + 3 * 5) / 8 }, resized({ 1, 2, 3 }, { size = 2, mode = "bilinear" }))
  end)

  it("treats axes alike, in images as in signals and volumes", function()
    convlua.manual_seed(1)
    local x = convlua.randn({ 2, 5, 6, 7, 3 }, { dtype = "float64" })
    local y = nn.resize(x, { size = { 3, 6, 9 } })
    assert.same({ 2, 3, 6, 9, 3 }, y.shape)
    assert.close(y, nn.resize(x:permute(1, 4, 2, 3, 5), { size = { 9, 3, 6 } }):permute(1, 3, 4, 2, 5))
    assert.close(convlua.ones { 2, 4, 5, 3 }, nn.resize(convlua.ones { 2, 32, 32, 3 }, { size = { 4, 5 } }))
  end)

  it("resizes bilinearly as io.resize does, bytes apart", function()
    convlua.manual_seed(1)
    local bytes = (convlua.rand { 32, 31, 3 } * 255):to "uint8"
    local y = nn.resize(bytes:to("float32"):reshape(1, 32, 31, 3), { size = { 20, 40 }, mode = "bilinear" })
    local gap = (y:reshape(20, 40, 3) - convlua.io.resize(bytes, 20, 40):to "float32"):abs():max():item()
    assert.is_true(gap < 1.01) -- io.resize rounds twice
  end)

  it("has gradients, also through views", function()
    convlua.manual_seed(1)
    local x = convlua.randn({ 5, 2, 6, 2 }, { dtype = "float64", requires_grad = true })
    for _, mode in ipairs { "area", "bilinear" } do
      assert.is_true(convlua.autograd.gradcheck(function(t)
        return nn.resize(t:permute(2, 1, 3, 4), { size = { 3, 8 }, mode = mode })
      end, { x }))
    end
  end)

  it("names what it got", function()
    local x = convlua.ones { 1, 4, 4, 1 }
    assert.raises_like(function() nn.resize(x) end, "resize: option 'size' is missing")
    assert.raises_like(function() nn.resize(x, { size = 0 }) end, "a whole number from 1, or a list of 2 of them, got 0")
    assert.raises_like(function() nn.resize(x, { size = { 2, 2, 2 } }) end, "a list of 2 of them, got {2, 2, 2}")
    assert.raises_like(function() nn.resize(x, { size = { 2, {} } }) end, "a list of 2 of them, got {2, table: ")
    assert.raises_like(function() nn.resize(x, { size = 1 << 50 }) end, "memory")
    assert.raises_like(function() nn.resize(x:to "uint8", { size = 2 }) end, "x of a floating type expected, got uint8")
    assert.raises_like(function() nn.resize(convlua.ones { 1, 0, 4, 1 }, { size = 2 }) end,
      "resize: x has no pixels: {1, 0, 4, 1}")
    assert.raises_like(function() nn.resize(x, { size = 2, mode = "cubic" }) end, "mode must be one of area, bilinear, got 'cubic'")
    assert.raises_like(function() nn.resize(convlua.ones { 2, 2 }, { size = 2 }) end, "x {N, (spatial), C} expected, got {2, 2}")
  end)
end)
