std = "lua54"
max_line_length = 120
ignore = { "581", "582" } -- not (x < y) is meant so: it is true for NaN
files["spec"] = { std = "+busted" }
