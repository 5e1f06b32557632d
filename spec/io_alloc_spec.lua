-- Files and data when memory runs out: an error, no crash, and everything given back.

local convlua = require "convlua"
local data = require "convlua.core.data"
local files = require "convlua.io"
local folder = require "spec.support.folder"

-- Runs use() with 0, 1, 2, ... allocations allowed, until it succeeds. After every failure as many
-- bytes must be live as before.
local function survives(use)
  use() -- what is made once and kept
  for n = 0, 2000 do
    collectgarbage()
    collectgarbage()
    local live = convlua.memory.live()
    local ok, problem = convlua.memory.failing(n, use)
    if ok then return assert(n > 0, "nothing was allocated") end
    problem = tostring(problem)
    assert(problem:find("memory", 1, true), problem)
    collectgarbage()
    collectgarbage()
    assert.equal(live, convlua.memory.live(), ("live bytes with %d allocations"):format(n))
  end
  error "no end: it failed with 2000 allocations"
end

describe("when memory runs out,", function()
  local picture = convlua.full({ 9, 7, 3 }, 50, { dtype = "uint8" })
  local png = files.encode_png(picture)
  local items, labels = data.shapes10 { count = 20 }

  local function batches(workers)
    return function()
      local l <close> = data.loader { items = items, labels = labels, batch_size = 8, flip = true,
        workers = workers, mean = { 0, 0, 0 }, std = { 1, 1, 1 } }
      l:start(2)
      for x, y in l.next, l do -- freed here: without memory Lua cannot call a finalizer either
        x:free()
        y:free()
      end
    end
  end

  local cases = {
    decode_image = function() files.decode_image(png) end,
    encode_png = function() files.encode_png(picture) end,
    resize = function() files.resize(picture, 4, 20) end,
    shapes10 = function() data.shapes10 { count = 3 } end,
    ["a loader without workers"] = batches(0),
    ["a loader with workers"] = batches(2),
    ["a loader of strided items"] = function()
      data.loader { items = items:transpose(2, 3), labels = labels, batch_size = 8 }:close()
    end,
  }
  for name, use in pairs(cases) do
    it(name .. " gives back all it took", function() survives(use) end)
  end

  local on_disk = {
    save_npz = function(path)
      files.save_npz(path .. "/y.npz", { a = picture, b = picture:transpose(1, 2) })
    end,
    save_npz_async = function(path)
      files.save_npz_async(path .. "/y.npz", { a = picture, b = labels })
      files.wait()
    end,
    load_npz = function(path) files.load_npz(path .. "/x.npz") end,
    npz_info = function(path) files.npz_info(path .. "/x.npz") end,
    read_image = function(path) files.read_image(path .. "/x.png") end,
    write_png = function(path) files.write_png(path .. "/y.png", picture) end,
    read_file = function(path) files.read_file(path .. "/x.png") end,
    write_file = function(path) files.write_file(path .. "/y", "text") end,
    list_folder = function(path) files.list_folder(path) end,
    extract = function(path) files.extract(path .. "/x.tar", path .. "/out") end,
    fetch = function(path)
      files.fetch { url = "file://" .. path .. "/x.png", path = path .. "/z",
        sha1 = files.sha1(png) }
    end,
  }
  for name, use in pairs(on_disk) do
    it(name .. " gives back all it took", function()
      folder.with(function(path)
        files.save_npz(path .. "/x.npz", { a = picture, b = labels, c = picture:transpose(1, 2) })
        files.write_file(path .. "/x.png", png)
        assert(os.execute(("tar -C '%s' -cf '%s/x.tar' x.png x.npz"):format(path, path)))
        survives(function() use(path) end)
        for _, left in ipairs(files.list_folder(path)) do
          assert.is_nil(left:find "%.tmp%-")
        end
      end)
    end)
  end
end)
