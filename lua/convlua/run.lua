--- The folder of a training run, runs/<name>/: what went in, what came out.
--
--   options.json   every option, exactly, and what is needed to use the model again
--   metrics.jsonl, curves.svg, curves.png
--   best.npz       the weights with the best validation accuracy
--   last.npz       the state of the run, to go on from
--   previous.npz   the state before, for when last.npz is damaged

local core = require "convlua.core"
local json = require "convlua.json"
local train = require "convlua.train"

local run = {}

--- Text in a box, to be seen.
function run.box(...)
  local lines, width = { ... }, 0
  for _, line in ipairs(lines) do width = math.max(width, utf8.len(line)) end
  local rule = "+" .. ("-"):rep(width + 2) .. "+"
  local out = { rule }
  for _, line in ipairs(lines) do
    out[#out + 1] = "| " .. line .. (" "):rep(width - utf8.len(line)) .. " |"
  end
  out[#out + 1] = rule
  io.stderr:write("\n", table.concat(out, "\n"), "\n\n")
end

--- A folder for a new run; with a number behind it when there is one of that name.
function run.folder(out, name)
  local base = out or ("runs/%s-%s"):format(name, os.date "%Y%m%d-%H%M%S")
  local folder, n = base, 1
  while not out and core.io.stat(folder) do
    n = n + 1
    folder = base .. "-" .. n
  end
  core.io.make_folder(folder)
  return folder
end

--- The options a run was made with. `path`: its folder, or a file in it.
function run.read_options(path)
  local entry = core.io.stat(path)
  local folder = entry and entry.kind == "folder" and path or path:match "^(.*)/[^/]*$" or "."
  local ok, text = pcall(core.io.read_file, folder .. "/options.json")
  if not ok then
    error(("no options.json beside '%s', which a training run leaves: %s"):format(path, text), 0)
  end
  local values = json.decode(text)
  for name, value in pairs(values) do
    if value == json.null then values[name] = nil end
  end
  return values, folder
end

function run.write_options(folder, values)
  core.io.write_file(folder .. "/options.json", json.encode(values) .. "\n")
end

--- The callbacks that write the folder.
function run.callbacks(folder, title)
  return train.jsonl_logger(folder .. "/metrics.jsonl"),
    train.plot { folder .. "/curves.svg", folder .. "/curves.png", title = title },
    train.checkpoint(folder .. "/best.npz", { best = "val_accuracy" }),
    train.checkpoint(folder .. "/last.npz", { state = true, previous = folder .. "/previous.npz" })
end

--- What fit{ resume = } goes on from: the files of a folder, in the order they are tried.
function run.states(folder)
  return { folder .. "/last.npz", folder .. "/previous.npz" }
end

return run
