--- Command lines of scripts, declared.
--
--   local o = options.parse(arg, {
--     usage = "train.lua [options] FILE...", about = "Trains something.",
--     { "epochs", "integer", default = 25, min = 1, help = "passes over the data" },
--     { "model", { "lenet", "resnet18" }, default = "lenet", help = "what to train" },
--     { "augment", "flag", help = "random crop and flip" },
--   })
--   o.epochs, o.model, o.augment; o[1], ... the words that are no options; o.given.epochs: whether
--   it was on the command line
--
-- Kinds: "string", "integer", "number" (with min and max), "flag" (also as --no-NAME), or a list of
-- what may be chosen. Written --batch-size 64 or --batch-size=64, read as o.batch_size. `--` ends the options.
-- A wrong line is told on stderr with status 2; --help prints everything and ends with status 0.

local options = {}

local Wrong = {}

local function wrong(text, ...)
  error(setmetatable({ message = text:format(...) }, Wrong), 0)
end

local function field(name)
  return (name:gsub("-", "_"))
end

local function in_range(option, value, text)
  if option.min and value < option.min or option.max and value > option.max then
    local low, high = option.min, option.max
    local range = low and high and ("from %s to %s"):format(low, high)
      or low and ("%s or more"):format(low) or ("%s or less"):format(high)
    wrong("--%s must be %s, got '%s'", option[1], range, text)
  end
  return value
end

local read = {}

function read.string(_, text) return text end

function read.integer(option, text)
  local value = math.tointeger(tonumber(text))
  if not value then wrong("--%s must be a whole number, got '%s'", option[1], text) end
  return in_range(option, value, text)
end

function read.number(option, text)
  local value = tonumber(text)
  if not value or value ~= value or value == math.huge or value == -math.huge then
    wrong("--%s must be a number, got '%s'", option[1], text)
  end
  return in_range(option, value + 0.0, text)
end

local function choose(option, text)
  for _, choice in ipairs(option[2]) do
    if choice == text then return text end
  end
  wrong("--%s must be one of %s, got '%s'", option[1], table.concat(option[2], ", "), text)
end

local function by_name(spec)
  local known = {}
  for _, option in ipairs(spec) do known[option[1]] = option end
  return known
end

--- The words of a command line as a table; raises Wrong.
local function parse(words, spec)
  local known, o = by_name(spec), { given = {} }
  local i, only_words = 1, false
  while words[i] do
    local word = words[i]
    local name, glued = word:match "^%-%-([%w-]+)=(.*)$"
    name = name or word:match "^%-%-([%w-]+)$"
    if only_words or not (name or word:find "^%-.") then
      o[#o + 1] = word
    elseif word == "--" then
      only_words = true
    elseif name == "help" or word == "-h" then
      o.help = true
    else
      local negated = name and name:match "^no%-(.*)$"
      local option = known[name] or negated and known[negated]
      if not option or negated and not known[name] and option[2] ~= "flag" then
        wrong("unknown option '%s'", word)
      end
      local value
      if option[2] == "flag" then
        if glued then wrong("option '--%s' takes no value", name) end
        value = known[name] ~= nil
      else
        if not glued then
          i = i + 1
          glued = words[i] or wrong("option '--%s' needs a value", name)
        end
        value = (type(option[2]) == "table" and choose or read[option[2]])(option, glued)
      end
      o[field(option[1])], o.given[field(option[1])] = value, true
    end
    i = i + 1
  end
  for _, option in ipairs(spec) do
    if o[field(option[1])] == nil then o[field(option[1])] = option.default end
  end
  if not spec.words and #o > 0 and not o.help then wrong("unexpected word '%s'", o[1]) end
  return o
end

local function left_column(option)
  local kind = option[2]
  local text = "--" .. option[1]
  if kind == "flag" then return text end
  return text .. " " .. (option.value or (kind == "integer" or kind == "number") and "N" or "NAME")
end

--- The text of --help.
function options.help(spec)
  local lines = { "usage: " .. spec.usage, "" }
  if spec.about then table.move({ spec.about, "", "options" }, 1, 3, #lines + 1, lines) end
  for _, option in ipairs(spec) do
    local help = option.help
    if type(option[2]) == "table" then help = help .. ": " .. table.concat(option[2], ", ") end
    local default = option.default
    if default ~= nil and option[2] ~= "flag" then help = ("%s (%s)"):format(help, default) end
    lines[#lines + 1] = ("  %-22s %s"):format(left_column(option), help)
  end
  lines[#lines + 1] = ("  %-22s %s"):format("--help", "this text")
  return table.concat(lines, "\n") .. "\n"
end

--- parse as above. `spec.words`: words that are no options are welcome.
function options.parse(words, spec)
  local ok, result = pcall(parse, words, spec)
  if not ok then
    if getmetatable(result) ~= Wrong then error(result, 0) end
    io.stderr:write(("%s\nTry --help.\n"):format(result.message))
    os.exit(2, true)
  end
  if result.help then
    io.stdout:write(options.help(spec))
    os.exit(0, true)
  end
  return result
end

--- Values for the options that were not on the command line.
function options.fill(o, values)
  for name, value in pairs(values) do
    if not o.given[name] then o[name] = value end
  end
  return o
end

return options
