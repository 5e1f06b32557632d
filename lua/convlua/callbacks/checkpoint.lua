--- checkpoint(path, { best, keep, every = 1, steps, state = false, previous, on_error = "warn" })
-- Writes the model to `path` (.npz): a copy is taken, and a thread writes it aside and renames it,
-- so that training goes on and the file is always whole.
--
--   best      name of a metric, as "val_accuracy": only when it got better ("smaller" for losses)
--   keep      how many to keep; the epoch (or step) is put into their names: a-0003.npz
--   every     epochs between two files
--   steps     updates between two files, in addition
--   state     with all that fit{ resume = path } needs, not the weights alone
--   previous  a second path, for the file before: should the disk spoil the last one, it is there
--   on_error  what a full disk does: "warn" (the file before stays, training goes on) or "stop"
--
-- Also written when the run is interrupted, but for `best`. Emits checkpoint_saved, when
-- loop.checkpoint_path tells the file.

local core = require "convlua.core"
local handler = require "convlua.callbacks.handler"

local function folder_of(path)
  return path:match "^(.*)/[^/]*$" or "."
end

local function warn(self, problem)
  if self.on_error == "stop" then error(problem, 0) end
  io.stderr:write(("checkpoint: %s\n"):format(problem))
end

--- The file to write now, and the one that is then too old, or nil.
local function next_path(self, number)
  if not self.keep then return self.path, nil end
  local base, ending = self.path:match "^(.*)(%.[^./]*)$"
  if not base then base, ending = self.path, "" end
  local path = ("%s-%04d%s"):format(base, number, ending)
  if self.files[#self.files] ~= path then self.files[#self.files + 1] = path end
  return path, #self.files > self.keep and table.remove(self.files, 1) or nil
end

local function write(self, loop, path)
  if self.previous and core.io.stat(path) then
    core.io.wait() -- it may be the one that is still being written
    core.io.keep(path, self.previous)
  end
  if self.with_state then return loop:save_state(path) end
  core.scope(function() core.io.save_npz_async(path, loop.model:state()) end)
end

local function save(self, loop, number)
  local path, old = next_path(self, number)
  local ok, problem = pcall(write, self, loop, path)
  if not ok then return warn(self, problem) end
  if old then
    local written, why = pcall(core.io.wait) -- the new one must be there before the old one goes
    if not written then return warn(self, why) end
    os.remove(old)
  end
  loop.checkpoint_path = path
  return loop:emit "checkpoint_saved"
end

local function improved(self, loop)
  local value = handler.stat(loop, self.best)
  local smaller = handler.smaller_is_better(self.best)
  local better = self.record == nil or (smaller and value < self.record)
    or (not smaller and value > self.record)
  if better and value == value then self.record = value end
  return better and value == value
end

local on = {}

function on.fit_start(self)
  core.io.make_folder(folder_of(self.path))
  core.io.sweep(folder_of(self.path)) -- what a killed run left behind
end

function on.batch_end(self, loop)
  if self.steps and loop.phase == "training" and loop.step_count % self.steps == 0 then
    return save(self, loop, loop.step_count)
  end
end

function on.epoch_end(self, loop)
  if loop.epoch_index % self.every ~= 0 and loop.epoch_index ~= loop.epoch_count then return end
  if self.best and not improved(self, loop) then return end
  return save(self, loop, self.steps and loop.step_count or loop.epoch_index)
end

function on.interrupted(self, loop)
  if self.best then return end
  save(self, loop, self.steps and loop.step_count or loop.epoch_index)
end

function on.fit_end(self)
  local ok, problem = pcall(core.io.wait)
  if not ok then warn(self, problem) end
end

local Checkpoint = {}

function Checkpoint:state() return { record = self.record, files = self.files } end

function Checkpoint:load_state(data)
  if not data then return end
  self.record = data.record
  self.files = table.move(data.files, 1, #data.files, 1, {})
end

return function(path, o)
  if type(path) ~= "string" then error("checkpoint: a path expected, got " .. type(path), 2) end
  o = handler.options("checkpoint", o, { best = handler.none, keep = handler.none, every = 1,
    steps = handler.none, state = false, previous = handler.none, on_error = "warn" })
  if o.on_error ~= "warn" and o.on_error ~= "stop" then
    error(("checkpoint: on_error must be 'warn' or 'stop', got '%s'"):format(o.on_error), 2)
  end
  if o.previous and (type(o.previous) ~= "string" or o.previous == path) then
    error("checkpoint: previous must be another path, got " .. tostring(o.previous), 2)
  end
  for _, name in ipairs { "keep", "every", "steps" } do
    if o[name] and (math.type(o[name]) ~= "integer" or o[name] < 1) then
      error(("checkpoint: %s must be a positive integer, got %s"):format(name, tostring(o[name])), 2)
    end
  end
  o.with_state, o.state = o.state, Checkpoint.state
  o.path, o.runs_last, o.files, o.load_state = path, true, {}, Checkpoint.load_state
  return handler.new("checkpoint", on, o)
end
