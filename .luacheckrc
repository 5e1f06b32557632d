std = "lua54"
max_line_length = 120
ignore = { "581", "582" } -- not (x < y) is meant so: it is true for NaN
files["spec"] = {
  std = "+busted",
  max_line_length = 140, -- tables of expected numbers
  ignore = { "431" }, -- each test has its own x, whatever is around it
  globals = { "io" }, -- some look at what is written to stderr
}
