-- Runs spec files under busted inside the interpreter that runs this file:
--   build/convlua spec/support/run.lua [busted's options] spec/foo_spec.lua ...
-- It ends with "passed P failed F skipped S", which suite.sh adds up.

local options = { "--helper=spec/helper.lua", "--output=spec/support/report.lua" }
package.path = "./?.lua;" .. package.path
table.move(arg, 1, #arg, #options + 1, options)
options[0] = "busted"
_G.arg = options
require "busted.runner" { standalone = false }
