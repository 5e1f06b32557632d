--- What a model is made of, and what each part is called.
--
-- A model is a tree: a module's fields that are modules, layers, tensors, or plain tables of them.
-- The path of a part is the fields that lead to it, with dots: "stages.2.1.early_conv.conv". Parts
-- come in the order of their paths, integer keys first and by value, so that layers.2 is before
-- layers.10 and the order is the same in every run.
--
--   * Fields whose name starts with "_" are private: not looked at.
--   * A part that is reached twice, also through a cycle, is listed once, under its first path.
--   * A tensor that requires gradients is a parameter; another one is a buffer, which is saved and
--     moved with the model but not trained. Results of operations are neither.

local core = require "convlua.core"

local tree = {}

--- "module", "layer", "tensor", "table" (may hold parts), or nil.
function tree.kind(value)
  local class = type(value)
  if class == "userdata" then
    local metatable = debug.getmetatable(value)
    local name = metatable and rawget(metatable, "__name")
    return name == "convlua.layer" and "layer" or name == "convlua.tensor" and "tensor" or nil
  elseif class == "table" then
    local metatable = getmetatable(value)
    if metatable == nil then return "table" end
    if type(metatable) == "table" and rawget(metatable, "__is_module") then return "module" end
  end
  return nil
end

local function before(a, b)
  local of_a, of_b = math.type(a), math.type(b)
  if of_a ~= of_b then return of_a ~= nil end
  return a < b
end

local function public_keys(t)
  local keys = {}
  for key in next, t do
    local public = math.type(key) == "integer" or (type(key) == "string" and key:byte() ~= 95)
    if public then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  return keys
end

function tree.join(path, name)
  return path == "" and tostring(name) or path .. "." .. tostring(name)
end

--- Calls visit(path, part, kind, depth) for the root, whose path is "", and every part below it.
function tree.walk(root, visit)
  local seen = {}
  local function go(path, value, depth)
    local kind = tree.kind(value)
    if not kind or seen[value] then return end
    seen[value] = true
    if kind ~= "table" then visit(path, value, kind, depth) end
    if kind == "module" then depth = depth + 1 end
    if kind == "module" or kind == "table" then
      for _, key in ipairs(public_keys(value)) do
        go(tree.join(path, key), rawget(value, key), depth)
      end
    end
  end
  go("", root, 0)
end

--- The parts by themselves: part -> path.
function tree.paths(root)
  local paths = {}
  tree.walk(root, function(path, part) paths[part] = path end)
  return paths
end

--- A set of tensors by identity: two handles may be one tensor.
local function new_set()
  local of_size = {}
  return function(tensor) -- whether it is new
    local size = tensor:numel()
    local same = of_size[size] or {}
    of_size[size] = same
    for _, other in ipairs(same) do
      if rawequal(other, tensor) or other:is_same(tensor) then return false end
    end
    same[#same + 1] = tensor
    return true
  end
end

--- Ordered list of {path, tensor, kind}: kind "parameter" or "buffer". Each tensor once.
function tree.tensors(root)
  local list, is_new = {}, new_set()
  local function add(path, tensor, kind)
    if is_new(tensor) then list[#list + 1] = { path, tensor, kind } end
  end
  tree.walk(root, function(path, part, kind)
    if kind == "tensor" then
      if part.requires_grad and part.is_leaf then
        add(path, part, "parameter")
      elseif not part.requires_grad then
        add(path, part, "buffer")
      end
    elseif kind == "layer" then
      for _, pair in ipairs(part:parameters()) do
        add(tree.join(path, pair[1]), pair[2], "parameter")
      end
      for _, pair in ipairs(part:buffers()) do
        add(tree.join(path, pair[1]), pair[2], "buffer")
      end
    end
  end)
  return list
end

--- How many numbers the parameters of `root` hold.
function tree.parameter_count(root)
  local count = 0
  for _, entry in ipairs(tree.tensors(root)) do
    if entry[3] == "parameter" then count = count + entry[2]:numel() end
  end
  return count
end

--- for path, tensor in tree.each(root, "parameter") do ... end
function tree.each(root, kind)
  local list, i = tree.tensors(root), 0
  return function()
    repeat
      i = i + 1
    until not list[i] or list[i][3] == kind
    if list[i] then return list[i][1], list[i][2] end
  end
end

--- Puts replace(tensor) in the place of every tensor that a module or a table of it holds, and
-- calls change(layer) for every layer. A tensor held twice is replaced once.
function tree.replace(root, replace, change)
  local seen, made = {}, {}
  local function go(value)
    if seen[value] then return end
    seen[value] = true
    for _, key in ipairs(public_keys(value)) do
      local part = rawget(value, key)
      local kind = tree.kind(part)
      if kind == "tensor" then
        made[part] = made[part] or replace(part)
        rawset(value, key, made[part])
      elseif kind == "layer" and not seen[part] then
        seen[part] = true
        change(part)
      elseif kind == "module" or kind == "table" then
        go(part)
      end
    end
  end
  if tree.kind(root) == "layer" then change(root) else go(root) end
end

tree.is_tensor = core.is_tensor

return tree
