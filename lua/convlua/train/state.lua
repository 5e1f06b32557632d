--- The whole state of a training run in one .npz file: a run that goes on from it ends with the same
-- bits as one that was never stopped, also in the middle of an epoch.
--
-- The arrays are the model's, by path, so that model:read_checkpoint reads the file as well, and
--   __optimizer__/NAME          the optimizer's tensors
--   __callback__/I/NAME         tensors of the I-th callback that has a state
--   __state__                   uint8: JSON with all the rest (position, random numbers, metrics,
--                               loss scale, numbers of the optimizer and of the callbacks)
--
-- A callback takes part when it has :state() -> data, tensors and :load_state(data, tensors), where
-- `data` is what JSON can say and `tensors` a table by name, or nil.

local core = require "convlua.core"
local json = require "convlua.json"

local state = {}

local FORMAT, VERSION = "convlua training state", 1

local function split(values)
  local tensors, rest = {}, {}
  for name, value in pairs(values) do
    if core.is_tensor(value) then tensors[name] = value else rest[name] = value end
  end
  return tensors, rest
end

local function has(object, name)
  local ok, value = pcall(function() return object[name] end)
  return ok and type(value) == "function"
end

-- Saving -------------------------------------------------------------------------------------------

local function add(arrays, prefix, tensors)
  for name, tensor in pairs(tensors or {}) do arrays[prefix .. name] = tensor end
end

local function callbacks_state(loop, arrays)
  local list = json.array()
  for i, callback in ipairs(loop.callbacks) do
    if type(callback) == "table" and callback.state then
      local data, tensors = callback:state()
      list[#list + 1] = { name = callback.name or "callback " .. i, data = data or json.null }
      add(arrays, ("__callback__/%d/"):format(#list), tensors)
    end
  end
  return list
end

--- Where the run stands: `epoch` and how many batches of it are done; "epoch_end" when it is over.
local function position(loop)
  if loop.phase == nil or loop.phase == "epoch_start" then
    return { epoch = math.max(0, loop.epoch_index - 1), batch = 0, over = true }
  elseif loop.phase == "epoch_end" then
    return { epoch = loop.epoch_index, batch = 0, over = true }
  elseif loop.phase == "validation" then
    return { epoch = loop.epoch_index, batch = loop.training_batches, over = false }
  end
  return { epoch = loop.epoch_index, batch = loop.batch_index, over = false }
end

local function record(loop, arrays)
  local r = {
    format = FORMAT, version = VERSION,
    position = position(loop),
    batches = loop.training_batches or 0,
    steps = loop.step_count,
    random = json.array(core.rng_state()),
    stats = loop.last_stats,
    history = json.array(table.move(loop.history, 1, #loop.history, 1, {})),
    callbacks = callbacks_state(loop, arrays),
  }
  if loop.scaler then r.scaler = loop.scaler:state() end
  local meter = loop.phase == "validation" and loop.training_meter or loop.meter
  r.meter = meter and meter:state() or {}
  if loop.optimizer and has(loop.optimizer, "state") then
    local tensors, rest = split(loop.optimizer:state())
    add(arrays, "__optimizer__/", tensors)
    r.optimizer = rest
  end
  return r
end

--- Writes the state. Returns when a copy is taken; a thread writes it. `wait`: when it is on the disk.
function state.save(loop, path, wait)
  if not has(loop.model, "state") then error("the state of this model cannot be saved: it has no method state", 0) end
  core.scope(function()
    local arrays = {}
    add(arrays, "", loop.model:state())
    local text = json.encode(record(loop, arrays), { non_finite = "null" })
    arrays.__state__ = core.from_bytes(text, { #text }, "uint8")
    if wait then core.io.save_npz(path, arrays) else core.io.save_npz_async(path, arrays) end
  end)
end

-- Restoring ----------------------------------------------------------------------------------------

--- null, which stands for a number that was not finite, becomes NaN in tables of numbers.
local function numbers(values)
  for key, value in pairs(values) do
    if value == json.null then values[key] = 0 / 0 end
    if type(value) == "table" and value ~= json.null then numbers(value) end
  end
  return setmetatable(values, nil)
end

local function read(path)
  local arrays = core.io.load_npz(path)
  local text = arrays.__state__
  if not text then
    error(("'%s' has the weights of a model, but not the state of a training run"):format(path), 0)
  end
  local archive = { path = path, record = json.decode(text:to_bytes()), model = {}, optimizer = {}, callbacks = {} }
  local r = archive.record
  if r.format ~= FORMAT or r.version ~= VERSION then
    error(("'%s': version %d of a training state expected, got %s"):format(path, VERSION, tostring(r.version)), 0)
  end
  for name, tensor in pairs(arrays) do
    local of_optimizer = name:match "^__optimizer__/(.*)$"
    local i, of_callback = name:match "^__callback__/(%d+)/(.*)$"
    if of_optimizer then
      archive.optimizer[of_optimizer] = tensor
    elseif i then
      i = tonumber(i)
      archive.callbacks[i] = archive.callbacks[i] or {}
      archive.callbacks[i][of_callback] = tensor
    elseif name:sub(1, 2) ~= "__" then
      archive.model[name] = tensor
    end
  end
  return archive
end

--- Reads a file written by save: {record, model, optimizer, callbacks} with their tensors by name.
-- `paths`: one, or several of which the first that can be read counts; then says so.
function state.read(paths)
  core.io.wait() -- it may be the one that is still being written
  if type(paths) == "string" then return read(paths) end
  local problems = {}
  for _, path in ipairs(paths) do
    local ok, archive = pcall(read, path)
    if ok then
      if problems[1] then
        io.stderr:write(("resume: %s; going on from '%s'\n"):format(table.concat(problems, "; "), path))
      end
      return archive
    end
    problems[#problems + 1] = tostring(archive)
  end
  error(problems[1] and table.concat(problems, "; ") or "resume: no path in the list", 0)
end

local function restore_callbacks(loop, archive)
  local used = {}
  for _, callback in ipairs(loop.callbacks) do
    for i, saved in ipairs(archive.record.callbacks) do
      local fits = type(callback) == "table" and callback.name == saved.name and not used[i]
      if fits and callback.load_state then
        used[i] = true
        callback:load_state(saved.data ~= json.null and saved.data or nil, archive.callbacks[i] or {})
        break
      end
    end
  end
end

--- Puts everything back. Done at the start of the fit and once more when the epoch has been entered,
-- because the callbacks of these events run again.
local function restore(loop, archive)
  local r = archive.record
  loop.model:load_state(archive.model, "'" .. archive.path .. "'")
  if loop.optimizer and r.optimizer then
    local values = {}
    for name, value in pairs(r.optimizer) do values[name] = value end
    for name, tensor in pairs(archive.optimizer) do values[name] = tensor end
    loop.optimizer:load_state(values)
  end
  if loop.scaler and r.scaler then loop.scaler:load_state(r.scaler) end
  restore_callbacks(loop, archive)
  core.rng_state(table.move(r.random, 1, #r.random, 1, {}))
  loop.step_count = r.steps
end

--- Returns the epoch to go on with.
function state.enter_fit(loop)
  local r = loop.resumed.record
  restore(loop, loop.resumed)
  loop.history = numbers(r.history)
  if r.position.over then
    loop.last_stats, loop.epoch_index = numbers(r.stats), r.position.epoch
    loop.resumed = nil
    return r.position.epoch + 1
  end
  return r.position.epoch
end

--- Returns the batch to go on with, 1 when the epoch is a fresh one.
function state.enter_epoch(loop)
  loop.training_batches = loop.batch_count
  if not loop.resumed then return 1 end
  local archive = loop.resumed
  local r = archive.record
  loop.resumed = nil
  if r.batches ~= loop.batch_count then
    error(("'%s' stands in an epoch of %d batches, but this loader has %d"):format(
      archive.path, r.batches, loop.batch_count), 0)
  end
  restore(loop, archive)
  loop.meter:load_state(numbers(r.meter))
  loop.last_stats = numbers(r.stats)
  loop.batch_index = r.position.batch
  return r.position.batch + 1
end

return state
