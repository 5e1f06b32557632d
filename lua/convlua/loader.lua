--- Batches of a data set: data.Loader{...}.
--
--   dataset     any object with :size() and :get(i) -> x, label, or {items =, labels =}: tensors
--               {count, ...} (uint8, which become 0..1, or float32) and {count}, labels from 1
--   batch_size  samples in a batch
--   shuffle     a new order for each epoch, from the seed (false)
--   drop_last   leave out a last batch that is not full (false)
--   seed        of the order and the augmentation (0)
--   workers     threads that make batches ahead, for tensors (1); the batches are the same for any
--               number of them
--   augment     for images in tensors: {crop_padding =, padding_mode = "zero" or "reflect", flip =,
--               alternating_flip =, cutout =}
--   mean, std   one number per channel, for tensors: x becomes (x - mean) / std
--
-- A loader has :start(epoch, batch), :next() -> x {n, ...}, labels {n}, or nil at the end of the
-- epoch, :batches() and :size(). Epochs and batches count from 1.

local core = require "convlua.core"

local options = {
  dataset = true, batch_size = true, shuffle = true, drop_last = true, seed = true, workers = true,
  augment = true, mean = true, std = true,
}

local augmentations = {
  crop_padding = true, padding_mode = true, flip = true, alternating_flip = true, cutout = true,
}

local function check_names(who, o, known)
  for key in pairs(o) do
    if not known[key] then
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      local text = "%s: unknown option '%s'; there are %s"
      error(text:format(who, tostring(key), table.concat(names, ", ")), 4)
    end
  end
end

--- The fast way: tensors, batches made by threads.
local function of_tensors(o)
  local set = o.dataset
  local settings = {
    items = set.items, labels = set.labels:to "int64", batch_size = o.batch_size,
    shuffle = o.shuffle, drop_last = o.drop_last, seed = o.seed or 0, workers = o.workers or 1,
    mean = o.mean, std = o.std,
  }
  for name, value in pairs(o.augment or {}) do settings[name] = value end
  return core.data.loader(settings)
end

-- The general way: get(i) in Lua, one sample after the other.
local Loader = {}
Loader.__index = Loader

function Loader:size() return self.dataset:size() end

function Loader:batches()
  local count = self:size()
  if self.drop_last then return count // self.batch_size end
  return -(-count // self.batch_size)
end

Loader.__len = Loader.batches

-- The order of an epoch (Fisher & Yates) comes from random numbers of its own, a function of seed
-- and epoch: SplitMix64 (Steele, Lea & Flood 2014), whose state may be any number.
local function order_of(count, seed, epoch)
  local order, state = {}, seed * 0x9E3779B97F4A7C15 ~ epoch * 0xD1B54A32D192ED03
  for i = 1, count do order[i] = i end
  for i = count, 2, -1 do
    state = state + 0x9E3779B97F4A7C15
    local z = (state ~ state >> 30) * 0xBF58476D1CE4E5B9
    z = (z ~ z >> 27) * 0x94D049BB133111EB
    z = z ~ z >> 31
    local j = math.ult(z, 0) and 1 or (z >> 11) % i + 1
    order[i], order[j] = order[j], order[i]
  end
  return order
end

function Loader:start(epoch, batch)
  if self.shuffle and self.ordered ~= epoch then
    self.order, self.ordered = order_of(self:size(), self.seed, epoch), epoch
  end
  self.at = batch or 1
end

local function stack(values)
  if core.is_tensor(values[1]) then
    local rows = {}
    for i, value in ipairs(values) do rows[i] = value:unsqueeze(1) end
    return core.concat(rows, 1)
  end
  local whole = math.type(values[1]) == "integer"
  return core.tensor(values, { dtype = whole and "int64" or "float32" })
end

function Loader:next()
  local first = (self.at - 1) * self.batch_size + 1
  if self.at > self:batches() then return nil end
  local inputs, labels = {}, {}
  for i = first, math.min(first + self.batch_size - 1, self:size()) do
    local index = self.order and self.order[i] or i
    local ok, x, label = pcall(self.dataset.get, self.dataset, index)
    if not ok then error(("Loader: sample %d: %s"):format(index, tostring(x)), 0) end
    if x == nil then error(("Loader: sample %d: get returned nil"):format(index), 0) end
    inputs[#inputs + 1], labels[#labels + 1] = x, label
  end
  if #labels > 0 and #labels < #inputs then
    error(("Loader: batch %d: some samples have a label and some have none"):format(self.at), 0)
  end
  self.at = self.at + 1
  return stack(inputs), labels[1] ~= nil and stack(labels) or nil
end

local function is_set_of_tensors(set)
  return type(set) == "table" and core.is_tensor(set.items) and core.is_tensor(set.labels)
end

local function of_object(o)
  local set = o.dataset
  local ok, usable = pcall(function() return set.size and set.get end)
  if not ok or not usable then
    error("Loader: dataset: an object with size and get, or {items =, labels =} of tensors, expected",
      3)
  end
  for _, name in ipairs { "augment", "mean", "std", "workers" } do
    if o[name] then
      error(("Loader: option '%s' is for data sets of tensors; this one has its own get"):format(name), 3)
    end
  end
  return setmetatable({
    dataset = set, batch_size = o.batch_size, shuffle = o.shuffle, drop_last = o.drop_last,
    seed = o.seed or 0, at = 1,
  }, Loader)
end

return function(o)
  if type(o) ~= "table" then error("Loader: a table of options expected, got " .. type(o), 2) end
  check_names("Loader", o, options)
  check_names("Loader: augment", o.augment or {}, augmentations)
  if math.type(o.batch_size) ~= "integer" or o.batch_size < 1 then
    error(("Loader: batch_size must be a positive integer, got %s"):format(tostring(o.batch_size)), 2)
  end
  if is_set_of_tensors(o.dataset) then return of_tensors(o) end
  return of_object(o)
end
