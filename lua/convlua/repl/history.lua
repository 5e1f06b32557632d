--- The file of past entries: $XDG_STATE_HOME/convlua/history, or ~/.local/state/convlua/history,
-- for the user alone. One entry a line; within it "\n" is a line's end and "\\" a backslash. Every
-- entry is appended at once, so that nothing is lost with a killed terminal, and two sessions do
-- not overwrite each other.

local edit = require "convlua.edit"

local history = {}
local MOST = 1000 -- entries kept

local function escape(entry)
  return (entry:gsub("[\\\n]", { ["\\"] = "\\\\", ["\n"] = "\\n" }))
end

local function unescape(line)
  return (line:gsub("\\(.)", { ["\\"] = "\\", n = "\n" }))
end

--- Where it is, or nil when the user has no home.
function history.path()
  local state, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if state and state:sub(1, 1) == "/" then return state .. "/convlua/history" end
  if home and home ~= "" then return home .. "/.local/state/convlua/history" end
end

local function read(path)
  local list = {}
  local file = io.open(path, "r")
  if not file then return list end
  for line in file:lines() do
    if line ~= "" then list[#list + 1] = unescape(line) end
  end
  file:close()
  return list
end

local function append(path, entries, first)
  if not edit.create_private(path) then return false end
  local file = io.open(path, "a")
  if not file then return false end
  for i = first, #entries do file:write(escape(entries[i]), "\n") end
  return file:close()
end

--- The entries that it keeps; a file that has grown to twice as many is cut, aside first.
local function load_entries(path)
  local entries = read(path)
  local first = math.max(1, #entries - MOST + 1)
  if #entries > 2 * MOST then
    local aside = path .. ".new"
    os.remove(aside)
    if append(aside, entries, first) then os.rename(aside, path) end
  end
  return table.move(entries, first, #entries, 1, {})
end

--- Gives the past entries to the arrow keys; returns remember(entry). History is a comfort: where
-- it cannot be kept, no word is lost about it.
function history.open()
  local path = history.path()
  local last
  if path then
    for _, entry in ipairs(load_entries(path)) do
      edit.remember(entry)
      last = entry
    end
  end
  return function(entry)
    if entry == last or not entry:find "%S" then return end
    last = entry
    edit.remember(entry)
    if path then append(path, { entry }, 1) end
  end
end

return history
