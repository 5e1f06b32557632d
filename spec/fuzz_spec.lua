-- Any call with any values ends in a result or a Lua error: never in a crash, a hang or a leak.
-- Random functions of the whole API get random arguments; what they return joins the arguments.
--   FUZZ_CALLS  how many calls (make sanitize: 100000)
--   FUZZ_SEED   which ones; the call under way is noted in build/fuzz.last, for after a crash

local lfs = require "lfs"
local convlua = require "convlua"

local calls = tonumber(os.getenv "FUZZ_CALLS") or 20000
local seed = tonumber(os.getenv "FUZZ_SEED") or 1
local memory_limit = 64 << 20 -- bytes; what asks for more fails as if there were none
local longest_call = 2000000 -- instructions of Lua

-- Not called: what would end the program, wait for a person or the network, or stop the fuzzer.
local left_out = {
  ["memory.failing"] = true, ["memory.limit"] = true,
}
local left_out_modules = { repl = true, cli = true, signal = true }

-- Every function that can be reached from convlua and from the metatables of what it makes.
local function collect(samples)
  local functions, seen = {}, {}
  local function visit(value, path)
    if type(value) == "function" then
      if not seen[value] and not left_out[path:match "[%w_]+%.[%w_]+$" or path] then
        seen[value] = true
        functions[#functions + 1] = { name = path, call = value }
      end
    elseif type(value) == "table" and not seen[value] then
      seen[value] = true
      local keys = {}
      for key in pairs(value) do
        if type(key) == "string" and not left_out_modules[key] then keys[#keys + 1] = key end
      end
      table.sort(keys)
      for _, key in ipairs(keys) do visit(value[key], path == "" and key or path .. "." .. key) end
    end
  end
  visit(require "convlua.core", "")
  visit(convlua, "")
  for _, sample in ipairs(samples) do visit(debug.getmetatable(sample), "methods") end
  return functions
end

local function tensors()
  return {
    convlua.randn { 2, 3 }, convlua.randn { 4 }, convlua.randn {}, convlua.zeros { 0, 3 },
    convlua.randn({ 2, 3 }, { dtype = "float64" }), convlua.randn({ 2, 3 }, { dtype = "bfloat16" }),
    convlua.randn({ 4 }, { dtype = "float16" }), convlua.randn { 1, 6, 6, 2 },
    convlua.randn { 3, 3, 2, 4 }, convlua.randn { 3, 2 }:transpose(1, 2),
  }
end

local texts = {
  "", "relu", "same", "valid", "float32", "float64", "bfloat16", "float16", "int64", "uint8", "bool", "mean", "sum", "cpu",
  "cuda", "no such thing", "a\0b", "%s%n%d", ("x"):rep(3000), "glorot_uniform", "/nonexistent/file",
}
local numbers = {
  0, 1, 2, 3, 4, -1, -2, 7, 0.5, 2.5, -0.0, 1e-300, 1e300, 1 / 0, -1 / 0, 0 / 0, 2 ^ 31, 2 ^ 31 | 0,
  -2 ^ 31 | 0, 2 ^ 32 | 0, 2 ^ 53 | 0, 2 ^ 62 | 0, math.maxinteger, math.mininteger, 1e9, 1000,
}
local option_names = {
  "shape", "axis", "axes", "keep", "dtype", "device", "strides", "padding", "dilations", "groups",
  "filter_shape", "use_bias", "feature_count", "momentum", "epsilon", "rate", "size", "pool_size",
  "input_size", "output_size", "activation", "reduction", "training", "parameters", "kind",
  "learning_rate", "batch_size", "seed", "root", "first", "last", "step", "value", "requires_grad",
}

describe("the API", function()
  it(("survives %d random calls"):format(calls), function()
    math.randomseed(seed)
    local here, there = lfs.currentdir(), os.tmpname()
    local last = assert(io.open((os.getenv "BUILD" or "build") .. "/fuzz.last", "w"))
    os.remove(there)
    assert(lfs.mkdir(there))
    assert(lfs.chdir(there)) -- files that a call writes land there
    convlua.memory.limit(memory_limit)

    local pool = tensors()
    local functions = collect(pool)
    local function one_of(list) return list[math.random(#list)] end

    local value
    local function list(depth)
      local t = {}
      for i = 1, math.random(0, 4) do t[i] = value(depth - 1) end
      return t
    end
    local function options(depth)
      local t = math.random() < 0.3 and list(depth) or {}
      for _ = 1, math.random(0, 3) do t[one_of(option_names)] = value(depth - 1) end
      return t
    end
    local function small() return math.random(0, 4) end
    function value(depth)
      local dice = math.random(100)
      if dice <= 35 then return one_of(pool) end
      if dice <= 50 then return small() end
      if dice <= 60 then return one_of(numbers) end
      if dice <= 67 then return one_of(texts) end
      if dice <= 70 then return dice == 70 end
      if dice <= 78 and depth > 0 then return list(depth) end
      if dice <= 82 and depth > 0 then return { small(), small() } end
      if dice <= 92 and depth > 0 then return options(depth) end
      if dice == 93 then return type end
      if dice == 94 then return function() error "from a callback" end end
      if dice == 95 then return function(x) return x end end
      if dice == 96 then return io.stdout end
      if dice == 97 then return coroutine.create(type) end
      if dice == 98 then
        local freed = convlua.randn { 2 }
        freed:free()
        return freed
      end
      return nil
    end

    -- Half of the calls know what an op wants: tensors, then options that it has.
    local ops = {}
    for _, op in ipairs(convlua.ops()) do
      if op.call then ops[#ops + 1] = op end
    end
    local function informed()
      local op = one_of(ops)
      local arguments, n = {}, op.list and 1 or op.n_in
      for k = 1, n do arguments[k] = op.list and { one_of(pool), one_of(pool) } or one_of(pool) end
      if #op.options > 0 and math.random() < 0.8 then
        n = n + 1
        arguments[n] = {}
        for _, option in ipairs(op.options) do
          if option.required or math.random() < 0.5 then arguments[n][option.name] = value(2) end
        end
      end
      return { name = op.name, call = op.call }, arguments, n
    end
    local function blind()
      local arguments, n = {}, math.random(0, 4)
      for k = 1, n do arguments[k] = value(2) end
      return one_of(functions), arguments, n
    end

    local finished, refused = 0, 0
    for i = 1, calls do
      local f, arguments, n = (math.random() < 0.5 and informed or blind)()
      last:seek "set"
      last:write(("call %d, seed %d: %-70s\n"):format(i, seed, f.name))
      last:flush()
      debug.sethook(function()
        debug.sethook()
        error("the fuzzer has waited long enough", 0)
      end, "", longest_call)
      local results = table.pack(pcall(f.call, table.unpack(arguments, 1, n)))
      debug.sethook()
      if results[1] then
        finished = finished + 1
        for k = 2, results.n do
          if type(results[k]) == "userdata" and io.type(results[k]) == nil then
            pool[math.random(math.min(#pool + 1, 60))] = results[k]
          end
        end
      else
        refused = refused + 1
        if results[2] == nil then error(f.name .. " raised nil") end
      end
      if i % 500 == 0 then
        pool = tensors()
        collectgarbage()
      end
    end

    convlua.memory.limit(0)
    assert(lfs.chdir(here))
    os.execute("rm -rf '" .. there .. "'")
    last:close()
    if os.getenv "VERBOSE" then print(finished, refused) end
    assert(finished > calls / 20 and refused > calls / 20, "the fuzzer is not aiming well")
  end)
end)
