-- usage: convlua spec/cuda/selftest.lua
-- `convlua selftest cuda`, at sizes that a simulated GPU can do. Prints its report, the last line "N of N".
os.exit(require "convlua.cli.selftest"("cuda", "--small") == 0)
