--- Where data sets lie on the disk, and how they get there.

local core = require "convlua.core"

local files = {}

local cifar10 = {
  folder = "cifar-10-batches-bin",
  url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
  size = 170052171, -- bytes of the archive
  bytes = 30730000, -- of each file: 10,000 records of 1 + 3072
  sha1 = {
    ["data_batch_1.bin"] = "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    ["data_batch_2.bin"] = "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    ["data_batch_3.bin"] = "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    ["data_batch_4.bin"] = "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    ["data_batch_5.bin"] = "26e2849e66a845b7f1e4614ae70f4889ae604628",
    ["test_batch.bin"] = "67eb016db431130d61cd03c7ad570b013799c88c",
  },
}

--- The user's folder for what can be fetched again.
function files.cache_folder()
  local base = os.getenv "XDG_CACHE_HOME"
  if base and base ~= "" then return base .. "/convlua" end
  return (os.getenv "HOME" or ".") .. "/.cache/convlua"
end

--- Where a data set is looked for, in this order.
function files.places(root)
  local places = {}
  if root then return { root } end
  local from_environment = os.getenv "CONVLUA_DATA"
  if from_environment and from_environment ~= "" then places[1] = from_environment end
  for _, place in ipairs { "data", "../shared/data", files.cache_folder() } do
    places[#places + 1] = place
  end
  return places
end

local function is_complete(folder)
  for name in pairs(cifar10.sha1) do
    local entry = core.io.stat(folder .. "/" .. name)
    if not entry or entry.kind ~= "file" then return false end
  end
  return true
end

--- One line on a terminal, rewritten; nothing in a pipe.
local function show_progress(done, total)
  if not core.system.is_terminal(2) then return end
  local share = total > 0 and done / total or 0
  io.stderr:write(("\r%s  [%-30s] %5.1f of %.1f MB"):format("CIFAR-10", ("="):rep(share * 30 // 1),
    done / 1e6, total / 1e6))
end

local function download(into)
  io.stderr:write(("downloading %s\n"):format(cifar10.url))
  core.io.make_folder(into)
  local archive = into .. "/cifar-10-binary.tar.gz"
  core.io.fetch { url = cifar10.url, path = archive, size = cifar10.size, progress = show_progress }
  io.stderr:write "\n"
  core.io.extract(archive, into)
  os.remove(archive)
  local folder = into .. "/" .. cifar10.folder
  for name, sum in pairs(cifar10.sha1) do
    core.io.check_sha1(folder .. "/" .. name, sum, cifar10.bytes)
  end
  return folder
end

--- The folder with the six files of CIFAR-10, binary version; downloaded when it is nowhere and
-- `may_download` is not false. An error lists the places that were tried.
function files.cifar10_folder(root, may_download)
  local places = files.places(root)
  for _, place in ipairs(places) do
    if is_complete(place .. "/" .. cifar10.folder) then return place .. "/" .. cifar10.folder end
    if is_complete(place) then return place end
  end
  local problem = "downloading was not allowed"
  if may_download ~= false then
    local ok, result = pcall(download, root or files.cache_folder())
    if ok then return result end
    problem = tostring(result)
  end
  error(("CIFAR-10 is not in %s, and %s"):format(table.concat(places, ", "), problem), 0)
end

return files
