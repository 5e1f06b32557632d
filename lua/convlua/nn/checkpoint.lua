--- The weights of a model as a file: .npz, one array per parameter and buffer, named by its path.
-- NumPy reads it; nothing in it is ever executed. Written aside and renamed, so that the file is
-- always whole. Arrays whose name starts with "__" belong to others (the state of a training run
-- lies in the same file) and are not looked at.

local core = require "convlua.core"
local tree = require "convlua.nn.tree"

local checkpoint = {}

local shown = 10 -- names of a kind in a message; more are counted

local function shape_text(tensor)
  return "{" .. table.concat(tensor.shape, ", ") .. "}"
end

--- path -> tensor: every parameter and buffer, the tensors themselves and not copies.
function checkpoint.state(model)
  local state = {}
  for _, entry in ipairs(tree.tensors(model)) do state[entry[1]] = entry[2] end
  return state
end

local function add_names(lines, title, names)
  if #names == 0 then return end
  lines[#lines + 1] = ("  %s (%d):"):format(title, #names)
  for i = 1, math.min(#names, shown) do lines[#lines + 1] = "    " .. names[i] end
  if #names > shown then lines[#lines + 1] = ("    and %d more"):format(#names - shown) end
end

--- What is wrong with `state` for a model that holds `list`, or nil.
local function mismatch(list, state, source)
  local missing, unexpected, wrong, known = {}, {}, {}, {}
  for _, entry in ipairs(list) do
    local name, wanted, got = entry[1], entry[2], state[entry[1]]
    known[name] = true
    if got == nil then
      missing[#missing + 1] = name
    elseif shape_text(got) ~= shape_text(wanted) then
      local text = "%s: %s in the model, %s in the file"
      wrong[#wrong + 1] = text:format(name, shape_text(wanted), shape_text(got))
    end
  end
  for name in pairs(state) do
    if not known[name] and name:sub(1, 2) ~= "__" then unexpected[#unexpected + 1] = name end
  end
  table.sort(unexpected)
  if #missing + #unexpected + #wrong == 0 then return nil end
  local lines = { source .. " does not fit the model; nothing was loaded" }
  add_names(lines, "missing in the file", missing)
  add_names(lines, "unexpected in the file", unexpected)
  add_names(lines, "of another shape", wrong)
  return table.concat(lines, "\n")
end

--- Copies `state` (path -> tensor) into the model. All names and shapes must agree, else an error
-- lists those that do not and nothing is changed. `source` is what the error calls the state.
function checkpoint.load_state(model, state, source)
  local list = tree.tensors(model)
  local problem = mismatch(list, state, source or "the state")
  if problem then error(problem, 0) end
  core.autograd.no_grad(function()
    for _, entry in ipairs(list) do entry[2]:copy_(state[entry[1]]) end
  end)
end

function checkpoint.write(model, path)
  core.io.save_npz(path, checkpoint.state(model))
end

function checkpoint.read(model, path)
  local state = core.io.load_npz(path)
  checkpoint.load_state(model, state, "'" .. path .. "'")
  for _, tensor in pairs(state) do tensor:free() end -- not left to the collector: it may be large
end

return checkpoint
