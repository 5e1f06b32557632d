--- The reference, from what the program knows of itself: descriptors of ops and layers, the texts of
-- what is bound, the comments that open the Lua modules. `make docs` calls write("docs").
--
--   reference.markdown() -> text      for reading: docs/reference.md
--   reference.stubs() -> text         for editors (lua-language-server): docs/convlua.meta.lua
--   reference.write(folder)           both files

local core = require "convlua.core"
local bound = require "convlua.bound"
local env = require "convlua.core.env"

local reference = {}

local function sorted_names(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function read(file)
  local text = env.source(file)
  if text then return text end
  local handle = assert(io.open(file))
  text = handle:read "a"
  handle:close()
  return text
end

--- The comment at the top of a source, without its dashes.
local function header(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do
    if not line:find "^%-%-" then break end
    lines[#lines + 1] = line:gsub("^%-%-%-? ?", "")
  end
  return table.concat(lines, "\n")
end

--- First line and the rest of a text.
local function split(doc)
  local first, rest = doc:match "^([^\n]*)\n?(.*)$"
  return first, rest
end

local function default_of(option)
  if option.required then return "required" end
  return option.default == nil and "" or tostring(option.default)
end

local function shown(op) return not op.internal end

-- For reading --------------------------------------------------------------------------------------

local function entry(out, doc)
  local signature, text = split(doc)
  out[#out + 1] = ("#### `%s`\n"):format(signature)
  if text ~= "" then out[#out + 1] = (text:gsub("\n", "\n\n")) .. "\n" end
end

--- The options of an op or a layer, as a table.
local function option_table(out, options)
  if #options == 0 then return end
  out[#out + 1] = "| option | kind | default | |\n| --- | --- | --- | --- |"
  for _, o in ipairs(options) do
    out[#out + 1] = ("| `%s` | %s | %s | %s |"):format(o.name, o.kind or "", default_of(o),
      (o.doc or ""):gsub("|", "\\|"))
  end
  out[#out + 1] = ""
end

local function described(out, title, list)
  out[#out + 1] = "\n## " .. title .. "\n"
  for _, one in ipairs(list) do
    if shown(one) then
      entry(out, one.doc)
      option_table(out, one.options)
      if one.samples and one.samples[1] then
        out[#out + 1] = ("For example `%s`.\n"):format(one.samples[1])
      end
    end
  end
end

local function texts(out, title, group)
  out[#out + 1] = "\n## " .. title .. "\n"
  for _, name in ipairs(sorted_names(group)) do entry(out, group[name]) end
end

function reference.markdown()
  local out = {
    "# Reference\n",
    "Made by `make docs` from the program itself. Axes, positions and labels count from 1; options are",
    "given by name in a table at the end. At the prompt, `help(x)` says the same.",
  }
  texts(out, "convlua: making tensors, and the program as a whole", bound.core)
  texts(out, "Methods of tensors", bound.tensor)
  described(out, "Ops: convlua.NAME(x, ...), most also as x:NAME(...)", core.ops())
  if core.layers then described(out, "Layers: convlua.nn.NAME", core.layers()) end
  for _, part in ipairs(sorted_names(bound)) do
    if part ~= "core" and part ~= "tensor" then texts(out, "convlua." .. part, bound[part]) end
  end
  out[#out + 1] = "\n## Modules in Lua\n"
  local sources = env.sources() -- name -> file
  for _, name in ipairs(sorted_names(sources)) do
    local text = header(read(sources[name]))
    if text ~= "" then out[#out + 1] = ("### %s\n\n```\n%s\n```\n"):format(name, text) end
  end
  return table.concat(out, "\n") .. "\n"
end

-- For editors --------------------------------------------------------------------------------------

local kinds = {
  number = "number", integer = "integer", boolean = "boolean", choice = "string", axis = "integer",
  axes = "integer|integer[]", shape = "integer[]", sizes = "integer|integer[]",
  padding = "string|integer|table", pairs = "table", dtype = "string",
}

local function comment(out, text)
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do out[#out + 1] = "--- " .. line end
end

--- A class with the options of an op or a layer; returns its name.
local function option_class(out, owner, options)
  local class = "convlua." .. owner .. ".options"
  out[#out + 1] = "---@class " .. class
  for _, o in ipairs(options) do
    out[#out + 1] = ("---@field %s%s %s %s"):format(o.name, o.required and "" or "?",
      kinds[o.kind] or "any", (o.doc or ""):gsub("\n", " "))
  end
  out[#out + 1] = ""
  return class
end

local function op_stub(out, op)
  local class = #op.options > 0 and option_class(out, op.name, op.options)
  comment(out, op.doc)
  local names = {}
  if op.list then
    names[1] = "tensors"
    out[#out + 1] = "---@param tensors convlua.tensor[]"
  end
  for i = 1, op.list and 0 or op.n_in do
    names[i] = op.n_in == 1 and "x" or "x" .. i
    out[#out + 1] = ("---@param %s convlua.tensor|number"):format(names[i])
  end
  if class then
    names[#names + 1] = "options"
    out[#out + 1] = ("---@param options? %s"):format(class)
  end
  out[#out + 1] = "---@return convlua.tensor"
  out[#out + 1] = ("function convlua.%s(%s) end\n"):format(op.name, table.concat(names, ", "))
end

local function layer_stub(out, layer)
  local class = option_class(out, "nn." .. layer.name, layer.options)
  comment(out, layer.doc)
  out[#out + 1] = "---@param options? " .. class
  out[#out + 1] = "---@return convlua.layer"
  out[#out + 1] = ("function convlua.nn.%s(options) end\n"):format(layer.name)
end

function reference.stubs()
  local out = {
    "---@meta convlua\n",
    "---@class convlua.tensor",
    "---@class convlua.layer",
    "---@class convlua",
    "---@field nn table",
    "local convlua = { nn = {} }\n",
  }
  for _, name in ipairs(sorted_names(bound.core)) do
    comment(out, bound.core[name])
    out[#out + 1] = ("function convlua.%s(...) end\n"):format(name)
  end
  for _, op in ipairs(core.ops()) do
    if shown(op) then op_stub(out, op) end
  end
  for _, layer in ipairs(core.layers and core.layers() or {}) do layer_stub(out, layer) end
  out[#out + 1] = "return convlua"
  return table.concat(out, "\n") .. "\n"
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

function reference.write(folder)
  write_file(folder .. "/reference.md", reference.markdown())
  write_file(folder .. "/convlua.meta.lua", reference.stubs())
end

return reference
