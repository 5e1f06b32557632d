-- usage: convlua spec/cuda/coverage.lua BUILD
--
-- What suite.sh has run of the plugin: lines of kernels, from the simulator's counts, and lines of its C,
-- by gcov. Lists what was never run. Prints "N passed, N failed" of its two demands: 90 % of the lines of
-- kernels, and 85 % of those of C; both are meant to rise.

local build = arg[1]

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

--- Lines with code and those that ran: file -> line -> count, over all runs.
local function kernels()
  local files = {}
  for _, text in ipairs(lines_of("cat " .. build .. "/cudatest/logs/*.cov")) do
    local file, line, count = text:match "^(.-):(%d+) (%d+)"
    file = file and file:match "core/[^/]+/[^/]+$" -- what lies elsewhere is the toolkit's
    if file then
      files[file] = files[file] or {}
      line = tonumber(line)
      files[file][line] = (files[file][line] or 0) + tonumber(count)
    end
  end
  return files
end

--- The same of the C files, as gcov counted.
local function host()
  local files = {}
  for _, object in ipairs(lines_of("find " .. build .. "/cudacheck -name '*.gcno' | sort")) do
    local current -- the lines of the file that gcov is at; of headers nothing is kept
    for _, text in ipairs(lines_of("gcov --stdout " .. object .. " 2>/dev/null")) do
      local count, line, source = text:match "^%s*([^:]+):%s*(%d+):(.*)$"
      if source and source:match "^Source:" then
        local name = source:match "^Source:(.*%.c)$"
        current = name and (files[name] or {})
        if name then files[name] = current end
      elseif count and current and line ~= "0" and count ~= "-" then
        current[tonumber(line)] = tonumber((count:match "^%d+")) or 0 -- "#####" did not run
      end
    end
  end
  return files
end

--- Prints what did not run; returns how many lines there are and how many ran.
local function report(what, files)
  local all, ran, names = 0, 0, {}
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local missed = {}
    for line, count in pairs(files[name]) do
      all = all + 1
      if count > 0 then ran = ran + 1 else missed[#missed + 1] = line end
    end
    table.sort(missed)
    if #missed > 0 then print(("not run: %s: %s"):format(name, table.concat(missed, " "))) end
  end
  print(("%s: %d of %d lines run, %.1f %%"):format(what, ran, all, 100 * ran / math.max(all, 1)))
  return all, ran
end

local passed = 0
local all, ran = report("kernels", kernels())
if all > 0 and ran >= 0.9 * all then passed = passed + 1 end
all, ran = report("the plugin's C", host())
if all > 0 and ran >= 0.85 * all then passed = passed + 1 end
print(("%d passed, %d failed"):format(passed, 2 - passed))
os.exit(passed == 2)
