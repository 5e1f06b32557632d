-- The folders are the architecture: a file of core/ includes its own room and those below it, a Lua
-- module requires what is at its own height or below, and no file is too long to be read at once.

local rooms = { -- lowest first
  "base", "device", "tensor", "kernels", "ops", "autograd", "layers", "optim", "data", "io", "bind",
  "cli",
}
-- Plugins are loaded on demand and included by nobody; beside each the highest room it may include.
local plugins = { cuda = "optim", dist = "optim" }
local longest_file = 700 -- lines

local height = {}
for i, room in ipairs(rooms) do height[room] = i end

local function lines_of(command)
  local list = {}
  local pipe = assert(io.popen(command))
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

local function files(where, ...)
  local names = {}
  for i, ending in ipairs { ... } do names[i] = ("-name '*.%s'"):format(ending) end
  local any = table.concat(names, " -o ")
  return lines_of(("find %s -type f \\( %s \\) 2>/dev/null | sort"):format(where, any))
end

local function read(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function knows_lua(path)
  return path:match "^core/bind/" or path:match "^core/cli/" or path == "core/main.c"
end

-- Why a file in `room` may not include `other`, or nil when it may.
local function objection(room, other)
  if plugins[other] and room ~= other then return other .. " is a plugin" end
  if not height[other] and not plugins[other] then return "there is no room " .. other end
  local limit = height[room] or height[plugins[room]]
  if room ~= other and limit and height[other] > limit then return other .. " is above " .. room end
end

describe("the rooms of core/", function()
  it("are all in the order", function()
    for _, path in ipairs(files("core", "c", "h", "cu", "cuh")) do
      local room = path:match "^core/([%w_]+)/"
      local known = path == "core/main.c" or height[room] or plugins[room]
      assert(known, path .. " is in no known room")
    end
  end)

  it("include only their own room and those below", function()
    local found = {}
    for _, path in ipairs(files("core", "c", "h", "cu", "cuh")) do
      local room = path:match "^core/([%w_]+)/"
      for included in read(path):gmatch '#%s*include%s*"([^"\n]+)"' do
        local other = included:match "^([%w_]+)/"
        local why = room and other and objection(room, other)
        if why then found[#found + 1] = ("%s includes %s: %s"):format(path, included, why) end
      end
    end
    assert.same({}, found)
  end)

  it("know Lua in bind/, cli/ and main.c alone", function()
    local found = {}
    for _, path in ipairs(files("core", "c", "h", "cu", "cuh")) do
      if not knows_lua(path) then
        for _, header in ipairs { "lua", "lauxlib", "lualib" } do
          local found_at = read(path):find('#%s*include%s*["<]' .. header .. "%.h")
          if found_at then found[#found + 1] = path .. " includes " .. header .. ".h" end
        end
      end
    end
    assert.same({}, found)
  end)

  it("neither exit nor jump nor print below bind/", function()
    local found = {}
    for _, path in ipairs(files("core", "c", "h")) do
      if not knows_lua(path) then
        local code = read(path):gsub("/%*.-%*/", function(c) return (c:gsub("[^\n]", "")) end)
        for _, word in ipairs { "exit", "abort", "longjmp", "printf", "puts", "perror" } do
          for before in code:gmatch("([%w_]?)" .. word .. "%s*%(") do
            if before == "" then found[#found + 1] = path .. " calls " .. word end
          end
        end
      end
    end
    assert.same({}, found)
  end)

  it("name what has linkage cvl_", function()
    local found = {}
    local library = (os.getenv "BUILD" or "build") .. "/libconvlua.a"
    for _, line in ipairs(lines_of("nm -g --defined-only " .. library)) do
      local name = line:match "^%x+ %u ([%w_.]+)$"
      if name and not name:match "^cvl_" and not name:match "^__" then -- __: the sanitizers' own
        found[#found + 1] = name
      end
    end
    assert.same({}, found)
  end)
end)

describe("the Lua side", function()
  it("requires downwards: commands and scripts, models, convlua", function()
    local found = {}
    local function forbid(where, pattern, what)
      for _, path in ipairs(files(where, "lua")) do
        local is_command = path:find "^lua/convlua/cli/" -- stands where scripts do
        for name in read(path):gmatch "=%s*require%s*%(?%s*[\"']([%w_.]+)" do
          if name:match(pattern) and not is_command then
            found[#found + 1] = ("%s requires %s: %s"):format(path, name, what)
          end
        end
      end
    end
    forbid("lua", "^models%.", "models stand on convlua, not under it")
    forbid("lua", "^scripts%.", "scripts stand on convlua, not under it")
    forbid("models", "^scripts%.", "scripts stand on models, not under them")
    assert.same({}, found)
  end)
end)

describe("every file", function()
  it("can be read in one sitting", function()
    local found = {}
    for _, path in ipairs(files("core lua models scripts spec .ci", "c", "h", "cu", "lua", "sh")) do
      local _, count = read(path):gsub("\n", "")
      if count > longest_file then
        found[#found + 1] = ("%s has %d lines, the limit is %d"):format(path, count, longest_file)
      end
    end
    assert.same({}, found)
  end)

  it("ends its lines with no blanks", function()
    local found = {}
    for _, path in ipairs(files("core lua models scripts spec docs", "c", "h", "lua", "md")) do
      if read(path):find "[ \t\r]\n" then found[#found + 1] = path end
    end
    assert.same({}, found)
  end)
end)
