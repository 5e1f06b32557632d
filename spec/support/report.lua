-- What busted tells of a run: each failure in full, then one line of counts for suite.sh.
-- VERBOSE=1 names every test and shows the traceback of every failure.

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local verbose = options.verbose or os.getenv "VERBOSE"

  local function tell(kind, record)
    local trace = record.trace or {}
    local line = trace.currentline or "?"
    local where = trace.short_src and ("  (%s:%s)"):format(trace.short_src, line) or ""
    local message = record.message
    if type(message) ~= "string" then message = require "pl.pretty".write(message) end
    print(kind .. "  " .. record.name .. where)
    print((message:gsub("[^\n]+", "    %0")))
    if verbose and trace.traceback then print(trace.traceback) end
  end

  local function test_end(element, _, status)
    if status == "failure" then
      tell("FAIL", handler.failures[#handler.failures])
    elseif status == "error" then
      tell("ERROR", handler.errors[#handler.errors])
    elseif verbose then
      print((status == "pending" and "skip  " or "pass  ") .. handler.getFullName(element))
    end
    io.flush() -- so that after a crash the last line tells where
    return nil, true
  end

  -- What goes wrong outside a test: a syntax error, a setup that fails.
  local function outside(element)
    if element.descriptor ~= "it" then tell("ERROR", handler.errors[#handler.errors]) end
    return nil, true
  end

  local function suite_end()
    print(("passed %d failed %d skipped %d"):format(
      handler.successesCount, handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    io.flush()
    return nil, true
  end

  busted.subscribe({ "test", "end" }, test_end)
  busted.subscribe({ "error" }, outside)
  busted.subscribe({ "failure" }, outside)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
