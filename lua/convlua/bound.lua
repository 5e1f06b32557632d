--- What the C half binds besides ops, each name with its signature and what it does: the texts of
-- help(), and of the reference. Ops and layers carry theirs in their own files.

local bound = {}

-- Options of all constructors.
local made = "\n"
  .. "options: dtype (default \"float32\"), device (default \"cpu\"), requires_grad (default false)"

--- convlua.<name>
bound.core = {
  tensor = "tensor(data, {dtype, device, requires_grad}) -> x\n"
    .. "From a number, nested tables of numbers or booleans, or another tensor." .. made,
  zeros = "zeros{2, 3, dtype = ...} or zeros(2, 3) -> x\nFilled with 0." .. made,
  ones = "ones{2, 3, dtype = ...} or ones(2, 3) -> x\nFilled with 1." .. made,
  full = "full({2, 3}, value, {dtype = ...}) -> x\nFilled with a number." .. made,
  eye = "eye(n, {dtype = ...}) -> x {n, n}\nOnes on the diagonal, zeros elsewhere." .. made,
  arange = "arange(first, last, step = 1, {dtype = ...}) -> x\n"
    .. "first, first + step, ... up to last, included as in a `for`; int64 when all are "
    .. "integers." .. made,
  linspace = "linspace(first, last, count, {dtype = ...}) -> x {count}\n"
    .. "Evenly spaced, both ends included." .. made,
  rand = "rand{2, 3, dtype = ...} -> x\nUniform in [0, 1), from the program's generator." .. made,
  randn = "randn{2, 3, dtype = ...} -> x\nNormal, mean 0 and deviation 1." .. made,
  randint = "randint(low, high, {2, 3}, {dtype = ...}) -> x\n"
    .. "Whole numbers from low to high, both included; int64 unless told otherwise." .. made,
  from_bytes = "from_bytes(string, shape, dtype) -> x\nThe elements in the machine's byte order.",
  is_tensor = "is_tensor(value) -> boolean",
  manual_seed = "manual_seed(n)\nStarts the program's random numbers afresh from seed n.",
  rng_state = "rng_state() -> {seed, stream, position}; rng_state(state)\n"
    .. "Asks for the state of the program's random numbers, or puts one back.",
  scope = "scope(f, ...) -> what f returns\n"
    .. "Frees at its end every tensor made inside, but those that f returns, directly or in "
    .. "tables.",
  keep = "keep(x, ...) -> x, ...\n"
    .. "Takes tensors out of every scope: they live as long as they are used.",
  threads = "threads() -> n; threads(n)\n"
    .. "Threads of the CPU kernels, 1 to 256. Results do not depend on it.",
  isa = "isa() -> name\nThe kernels' instruction set: baseline, avx2, avx512 or avx512_bf16.",
  conv_norm = "conv_norm(conv, norm, x, residual or nil) -> norm(conv(x), residual)\n"
    .. "Of two layers, as one op: in training, and in inference with no gradient recorded, then one pass over memory.",
  conv_pool = "conv_pool(conv, pool, x) -> pool(conv(x))\n"
    .. "Of two layers; in one pass where that is faster, with the gradients: few channels, windows side by side.",
  joined = "joined(part, after) -> f or nil\n"
    .. "Of two layers: conv_norm or conv_pool, f(part, after, x) = after(part(x)), where that may be one pass.",
  layers = "layers() -> list\nThe descriptor of every layer of the core: name, doc, options, ...",
  optimizer = "optimizer{kind = \"SGD\", parameters = {...}, groups = {...}, ...} -> o\n"
    .. "What convlua.optim is made of. o:step(), o:zero_grad(), o:gradient_norm(),\n"
    .. "o:first_non_finite(), o:state(), o:load_state(state); o.learning_rate and the other options\n"
    .. "of its kind can be read and assigned.",
  optimizers = "optimizers() -> list\nThe descriptor of every optimizer: name, doc, options.",
  ops = "ops() -> list\nThe descriptor of every op: name, doc, options, samples, rejects, ...",
}

--- x:<name>
bound.tensor = {
  backward = "x:backward(gradient, {retain_graph = false, create_graph = false})\n"
    .. "Adds the gradient of x to the .grad of every leaf it was made from. The gradient of "
    .. "x may be\n"
    .. "left out where x is a single number.",
  clone = "x:clone() -> y\nA copy, dense, outside of the tape.",
  copy_ = "x:copy_(y) -> x\nOverwrites x with a tensor, broadcast and cast, or a number.",
  detach = "x:detach() -> y\nThe same data, outside of the tape.",
  fill_ = "x:fill_(value) -> x\nOverwrites every element with a number.",
  zero_ = "x:zero_() -> x\nOverwrites every element with 0.",
  free = "x:free()\nGives the memory back now; x is of no use after that. Also `local x <close>`.",
  is_contiguous = "x:is_contiguous() -> boolean\nWhether the elements lie one after the other.",
  is_same = "x:is_same(y) -> boolean\nWhether the two are one tensor, not only equal.",
  item = "x:item() -> number or boolean\nThe only element.",
  numel = "x:numel() -> integer\nHow many elements there are.",
  register_hook = "x:register_hook(function(g) ... end)\n"
    .. "Called with every gradient of x; a tensor that it returns takes the gradient's place.",
  rows = "for i, row in x:rows() do ... end\nGoes over the first axis.",
  size = "x:size() -> table; x:size(axis) -> integer",
  stride = "x:stride() -> table\nHow many elements lie between neighbours, for each axis.",
  to = "x:to(\"float64\"), x:to(\"cuda:0\") -> y\n"
    .. "In another element type, or on another device; x itself\n"
    .. "when nothing is to be done.",
  to_bytes = "x:to_bytes() -> string\nThe elements in the machine's byte order.",
  to_table = "x:to_table() -> nested tables\nOf numbers or booleans; of a single number, itself.",
}

--- convlua.autograd.<name>
bound.autograd = {
  grad = "autograd.grad(y, x, {gradient, retain_graph, create_graph}) -> gradient\n"
    .. "The gradient of y with respect to x; with a list of tensors for x, a list.",
  record = "autograd.record(name, {inputs}, y, backward) -> y\n"
    .. "Hangs a fresh result on the tape; backward(gy) returns one gradient per input.",
  no_grad = "no_grad(f, ...) -> what f returns\nCalls f with the tape switched off.",
  with_grad = "with_grad(f, ...) -> what f returns\nCalls f with the tape switched on.",
  enabled = "autograd.enabled() -> boolean\nWhether the tape records.",
  precision = "autograd.precision() -> name; autograd.precision(name, f, ...) -> what f returns\n"
    .. "How exactly float32 is multiplied by convolutions and matrix products called in f, and by\n"
    .. "the backward passes of these whenever they run. \"float32\"; \"bf16\": operands may be rounded\n"
    .. "to bfloat16 in backward passes; \"bf16-full\": in forward passes too; \"f16\": on CUDA devices\n"
    .. "to float16 in all, whose small gradients vanish: train.Loop scales the loss; the CPU rounds\n"
    .. "nothing then. Sums and weights are float32 all the same.",
}

--- convlua.device.<name>
bound.device = {
  get = "device.get(name) -> full name\n"
    .. "\"cpu\", \"cuda\" or \"cuda:N\"; an error says what is missing.",
  list = "device.list() -> {name, ...}\nThe devices that work: \"cpu\", then \"cuda:0\" and so on.",
  sync = "device.sync()\nWaits until every device has done what it was asked for, and reports what went wrong there.",
  record = "device.record(name, f, ...) -> recording, what f returns\n"
    .. "Calls f while the device writes down what it is asked for, and does nothing of it: a CUDA graph.\n"
    .. "recording:replay() does it, once a call, with the same memory: tensors of f's hold the new values.\n"
    .. "Random numbers go on. What would wait for the device, or comes from the host, is an error.\n"
    .. "recording:free() gives the memory back. train.Loop{capture = true} does all this.",
  info = "device.info(name) -> {device, ...}\n"
    .. "Of a CUDA device: gpu, compute_capability, multiprocessors, memory and free_memory (bytes),\n"
    .. "and the versions driver (of CUDA, that it supports), runtime, cublas, cudnn; of a library\n"
    .. "that cannot be used \"no: \" and why.",
  tf32 = "device.tf32(name) -> boolean; device.tf32(name, on) -> how it was\n"
    .. "Whether matrix products and convolutions of float32 on this CUDA device may round their\n"
    .. "operands to TF32, 10 bits of mantissa, which tensor cores multiply faster. false unless\n"
    .. "CONVLUA_TF32=1; without effect on GPUs before compute capability 8.0.",
  default = "device.default() -> name\nThat of --device, else the first CUDA device, else \"cpu\".",
}

--- convlua.linalg.<name>
bound.linalg = {
  eigh = "linalg.eigh(x) -> values, vectors\n"
    .. "Eigenvalues {n}, in ascending order, and eigenvectors (columns of {n, n}, of length 1) of a\n"
    .. "symmetric matrix, of which only the lower triangle is read. float64; not differentiable.",
}

--- convlua.memory.<name>
bound.memory = {
  live = "memory.live() -> bytes\nIn use: tensor data and what describes it.",
  cached = "memory.cached() -> bytes\nKept by the allocators for reuse.",
  peak = "memory.peak() -> bytes\nThe highest `live` since the start or reset_peak().",
  reset_peak = "memory.reset_peak()",
  limit = "memory.limit(bytes)\nAllocations beyond it fail, with an error; 0 for no limit.",
  allocations = "memory.allocations() -> n\nHow many were asked for since the start.",
  failing = "memory.failing(n, f, ...) -> ok, results or error of f\n"
    .. "While f runs, n allocations succeed and every further one fails.",
}

--- require "convlua.core.signal".<name>
bound.signal = {
  guard = "signal.guard(on) -> was\n"
    .. "Under a guard SIGINT and SIGTERM are noted only; put `was` back after.",
  interrupted = "signal.interrupted() -> number or nil\nThe signal that was noted.",
  clear = "signal.clear()\nThe signal noted has been dealt with.",
}

--- convlua.io.<name>
bound.io = {
  save_npz = "io.save_npz(path, {name = tensor})\n"
    .. "An .npz archive, which NumPy reads too. The same tensors give the same bytes. Names may\n"
    .. "hold \"/\" and \".\".",
  load_npz = "io.load_npz(path) -> {name = tensor}\n"
    .. "Reads what save_npz and numpy.savez write. Never executes anything; refuses a damaged\n"
    .. "file.",
  npz_info = "io.npz_info(path) -> {name = {shape = {...}, dtype = \"float32\"}}\n"
    .. "Without reading the data.",
  save_npz_async = "io.save_npz_async(path, {name = tensor})\n"
    .. "Copies the tensors and writes them while the program goes on. Waits for the write\n"
    .. "before; if that one failed, raises its error instead of starting.",
  wait = "io.wait()\n"
    .. "Until save_npz_async has written; raises its error. The program's end waits by itself.",
  busy = "io.busy() -> boolean\nWhether save_npz_async is still writing.",
  read_image = "io.read_image(path) -> uint8 tensor {height, width, 3}\n"
    .. "JPEG or PNG. Grey becomes RGB, alpha is dropped. A damaged file is refused.",
  decode_image = "io.decode_image(bytes, name) -> uint8 tensor {height, width, 3}\n"
    .. "The name is for messages and may be left out.",
  write_png = "io.write_png(path, image)\nimage: uint8 {height, width, 3}.",
  encode_png = "io.encode_png(image) -> string\nThe bytes of a PNG file.",
  resize = "io.resize(image, height, width) -> image\n"
    .. "A triangle filter that averages when it reduces: the bytes of Pillow's BILINEAR.",
  read_file = "io.read_file(path, most = 1 GiB) -> string\nLarger files are refused.",
  write_file = "io.write_file(path, string)\nReplaces the file in one step.",
  keep = "io.keep(path, as)\n"
    .. "`as` becomes one more name of the file at `path`, which stays when another is written there.",
  sweep = "io.sweep(folder) -> n\n"
    .. "Removes the temporary files of programs that were killed while they wrote.",
  make_folder = "io.make_folder(path)\nWith those above it; fine when it is there.",
  list_folder = "io.list_folder(path) -> sorted names",
  stat = "io.stat(path) -> {kind, size, modified} or nil\n"
    .. "kind: \"file\", \"folder\" or \"other\"; bytes; seconds since 1970.",
  sha1 = "io.sha1(string) -> 40 hexadecimal digits",
  check_sha1 = "io.check_sha1(path, sum, size)\n"
    .. "An error with both sums when the file has another one, or another size if that is given.",
  fetch = "io.fetch{url, path, size, sha1, progress}\n"
    .. "Downloads, going on where an earlier try ended, checks size and sum where they are\n"
    .. "given, then puts the file in place. progress(done, total) is called some times a second;\n"
    .. "when it returns false the download stops, with an error.",
  extract = "io.extract(archive, folder, most = 4 GiB) -> n\n"
    .. "Unpacks .tar or .tar.gz, nothing outside the folder; gives the number of files.",
}

--- require "convlua.core.data".<name>
bound.data = {
  cifar10 = "data.cifar10{path, ...} -> images, labels\n"
    .. "Binary batches of CIFAR-10: uint8 {n, 32, 32, 3} and int64 {n} of 1..10.",
  shapes10 = "data.shapes10{count, seed = 0, first = 1} -> images, labels\n"
    .. "Drawn figures of ten classes: uint8 {count, 32, 32, 3} and int64 {count} of 1..10. A\n"
    .. "sample depends on the seed and its number alone.",
  loader = "data.loader{items, labels, batch_size, ...} -> loader\n"
    .. "items {count, ...}, uint8 (which become 0..1) or float32; labels int64 {count}. While the\n"
    .. "loader lives nobody may write into them.\n"
    .. "options: shuffle, drop_last (default false), seed (0), workers (1; 0: none), depth\n"
    .. "(batches ahead; twice the workers), crop_padding (0), padding_mode (\"zero\" or\n"
    .. "\"reflect\"), flip (false), alternating_flip (false), cutout (0), mean, std (lists, a\n"
    .. "number for each channel)\n"
    .. "l:start(epoch, batch = 1) puts it before a batch; l:next() -> x float32 {n, ...}, labels,\n"
    .. "or nothing at the end; l:position() -> epoch, batch; #l and l:batches(); l:size();\n"
    .. "l:close().\n"
    .. "The batches are the same for any number of workers.",
}

return bound
