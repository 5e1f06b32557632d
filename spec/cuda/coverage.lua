-- usage: convlua spec/cuda/coverage.lua BUILD
--
-- What suite.sh has run of the plugin: lines of kernels, from the simulator's counts, and lines of its C,
-- by gcov. Lists what was never run. Prints "N passed, N failed" of its demands: every line of a kernel but
-- those listed below, none of which may run, and 90 % of the lines of C.

local build = arg[1]

-- Lines of kernels that no script can reach, by what they say, and why.
local unreached = {
  ["core/cuda/cross_entropy.cu"] = {
    -- The Lua binding gives the core labels as int64; other integers come from C programs alone.
    "return ((const int32_t *)p.labels)[r];",
  },
  ["core/ops/position.h"] = { -- likewise positions
    "return ((const int32_t *)p)[i];", "return ((const uint8_t *)p)[i];",
  },
}

--- Takes the unreachable lines out of what kernels() gives; returns those that did run after all.
local function set_apart(files)
  local ran = {}
  for path, texts in pairs(unreached) do
    local number = 0
    for line in io.lines(path) do
      number = number + 1
      for _, text in ipairs(texts) do
        if files[path] and line:match "^%s*(.-)%s*$" == text then
          if (files[path][number] or 0) > 0 then ran[#ran + 1] = ("%s:%d"):format(path, number) end
          files[path][number] = nil
        end
      end
    end
  end
  return ran
end

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

local passed, failed = 0, 0
local function demand(good, ...)
  if good then passed = passed + 1 else failed = failed + 1 print("FAIL " .. string.format(...)) end
end

local files = kernels()
local ran_after_all = set_apart(files)
local all, ran = report("kernels", files)
demand(all > 0 and ran == all, "a line of a kernel never ran")
demand(#ran_after_all == 0, "said to be out of reach: %s", table.concat(ran_after_all, " "))
all, ran = report("the plugin's C", host())
demand(all > 0 and ran >= 0.9 * all, "less than 90 %% of the plugin's C ran")
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
