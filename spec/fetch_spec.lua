-- Downloads from a server of our own: whole, resumed, redirected, refused, stopped.

local files = require "convlua.io"
local folder = require "spec.support.folder"
local with, read, write = folder.with, folder.read, folder.write

-- 3 MB that no compression or guess gives.
local function content()
  local pieces = {}
  for i = 1, 75000 do pieces[i] = files.sha1(tostring(i)) end
  return table.concat(pieces)
end

-- use(address, path): `path` is an empty folder, what lies in path .. "/www" is served.
local function served(use)
  if not os.execute "python3 -c 'import http.server' 2>/dev/null" then
    return pending "python3 is not installed"
  end
  with(function(path)
    files.make_folder(path .. "/www")
    local server = io.popen(("python3 spec/support/server.py '%s/www'"):format(path))
    local address = ("http://127.0.0.1:%d"):format(server:read "n")
    local ok, problem = pcall(use, address, path)
    pcall(files.fetch, { url = address .. "/quit", path = path .. "/quit" })
    local log = server:read "a"
    server:close()
    if not ok then error(problem, 0) end
    return log
  end)
end

describe("fetch", function()
  local bytes = content()
  local sum = files.sha1(bytes)

  it("downloads, tells how far it is, and checks", function()
    served(function(address, path)
      write(path .. "/www/big", bytes)
      local last
      files.fetch { url = address .. "/big", path = path .. "/x", size = #bytes, sha1 = sum,
        progress = function(done, total) last = { done, total } end }
      assert.equal(sum, files.sha1(read(path .. "/x")))
      assert.same({ #bytes, #bytes }, last)
      files.fetch { url = address .. "/redirect/big", path = path .. "/y" }
      assert.equal(bytes, read(path .. "/y"))
      assert.same({ "www", "x", "y" }, files.list_folder(path))
    end)
  end)

  for _, way in ipairs { "/big", "/plain/big" } do
    local what = way == "/big" and "goes on where it ended" or "starts afresh if the server must"
    it("stops when it is told to, and next time " .. what, function()
      served(function(address, path)
        write(path .. "/www/big", bytes)
        write(path .. "/x.part", bytes:sub(1, 1000000))
        local request = { url = address .. way, path = path .. "/x", size = #bytes, sha1 = sum }
        request.progress = function() return false end
        assert.raises_like(function() files.fetch(request) end, "was stopped")
        assert(#read(path .. "/x.part") > 0)
        request.progress = nil
        files.fetch(request)
        assert.equal(sum, files.sha1(read(path .. "/x")))
        assert.same({ "www", "x" }, files.list_folder(path))
      end)
    end)
  end

  it("passes on an error of the progress function, as it is", function()
    served(function(address, path)
      write(path .. "/www/big", bytes)
      local thing = {}
      local ok, problem = pcall(files.fetch, { url = address .. "/big", path = path .. "/x",
        progress = function() error(thing) end })
      assert.is_false(ok)
      assert.equal(thing, problem)
    end)
  end)

  it("takes away what has a wrong sum or is too long, and keeps what is only short", function()
    served(function(address, path)
      write(path .. "/www/big", bytes)
      local function fetch(o)
        o.url, o.path = address .. "/big", path .. "/x"
        return function() files.fetch(o) end
      end
      assert.raises_like(fetch { sha1 = ("0"):rep(40) },
        "has the SHA-1 " .. sum .. ", expected 0000")
      assert.same({ "www" }, files.list_folder(path))
      assert.raises_like(fetch { size = 1000 }, "sends more than the expected 1000 bytes")
      assert.same({ "www" }, files.list_folder(path))
      assert.raises_like(fetch { size = #bytes + 1 }, "has 3000000 bytes, expected 3000001")
      assert.same({ "www", "x.part" }, files.list_folder(path))
      assert.raises_like(function()
        files.fetch { url = address .. "/endless", path = path .. "/y", size = 5000000 }
      end, "sends more than the expected 5000000 bytes")
    end)
  end)

  it("names the address and the reason", function()
    served(function(address, path)
      local function fetch(url, name)
        return function() files.fetch { url = url, path = path .. (name or "/x") } end
      end
      assert.raises_like(fetch(address .. "/none"), address .. "/none: the server answers 404")
      assert.raises_like(fetch "http://127.0.0.1:1/x", "http://127.0.0.1:1/x: Failed to connect")
      assert.raises_like(fetch "http://name.invalid/x", "Could not resolve host: name.invalid")
      assert.raises_like(fetch "gopher://127.0.0.1/x", "cannot download gopher://")
      assert.raises_like(fetch(address .. "/none", "/no/x"),
        "cannot open '" .. path .. "/no/x.part'")
      assert.same({ "www" }, files.list_folder(path))
      assert.raises_like(function() files.fetch { url = address } end, "path: string expected")
    end)
  end)
end)

describe("extract", function()
  local function made(path, line)
    assert(os.execute(("cd '%s' && %s"):format(path, line)))
  end

  it("unpacks .tar and .tar.gz, of either format", function()
    with(function(path)
      made(path, [[mkdir -p in/a/b && printf one >in/a/1 && : >in/a/b/empty &&
        head -c 100000 /dev/zero >in/a/b/zeros &&
        tar -C in -czf gnu.tar.gz a && tar -C in --format=ustar -cf ustar.tar a &&
        tar -C in --format=pax -cf pax.tar a]])
      for i, name in ipairs { "gnu.tar.gz", "ustar.tar", "pax.tar" } do
        local out = path .. "/out" .. i
        assert.equal(3, files.extract(path .. "/" .. name, out))
        assert.same({ "1", "b" }, files.list_folder(out .. "/a"))
        assert.equal("one", read(out .. "/a/1"))
        assert.equal("", read(out .. "/a/b/empty"))
        assert.equal(("\0"):rep(100000), read(out .. "/a/b/zeros"))
      end
    end)
  end)

  it("writes nothing outside its folder and no links", function()
    with(function(path)
      made(path, [[mkdir in && printf x >in/x && ln -s /etc/passwd in/link &&
        tar -C in -cf up.tar --transform 's,^,../,' x && tar -C in -cf link.tar link &&
        tar -C in -P -cf root.tar --transform "s,^,$PWD/," x]])
      local function extract(name)
        return function() files.extract(path .. "/" .. name, path .. "/out") end
      end
      assert.raises_like(extract "up.tar", "entry '../x': the name leads out of the folder")
      assert.raises_like(extract "root.tar", "the name leads out of the folder")
      assert.raises_like(extract "link.tar", "entry 'link': it is neither a file nor a folder")
      assert.is_nil(files.stat(path .. "/x"))
    end)
  end)

  it("refuses what is cut, damaged or too large", function()
    with(function(path)
      made(path, "mkdir in && seq 20000 >in/x && tar -C in -czf a.tgz x && tar -C in -cf a.tar x")
      local tar, tgz = read(path .. "/a.tar"), read(path .. "/a.tgz")
      local function refused(bytes, why)
        write(path .. "/b", bytes)
        assert.raises_like(function() files.extract(path .. "/b", path .. "/out") end, why)
      end
      for _, size in ipairs { 0, 1, 511, 512, 600, 100000 } do
        refused(tar:sub(1, size), "'" .. path .. "/b' is damaged: it is cut short")
      end
      refused(tgz:sub(1, #tgz // 2), "is damaged")
      refused(tar:sub(1, 50) .. "?" .. tar:sub(52), "its header is damaged")
      refused(("x"):rep(2000), "its header is damaged")
      assert.raises_like(function() files.extract(path .. "/a.tar", path .. "/out", 1000) end,
        "the archive holds more bytes than expected")
      assert.raises_like(function() files.extract(path .. "/none", path) end, "No such file")
    end)
  end)
end)

describe("folders", function()
  it("are made with those above them, listed in order, and told from files", function()
    with(function(path)
      files.make_folder(path .. "/a//b/c/")
      files.make_folder(path .. "/a/b/c")
      write(path .. "/a/b/x", "123")
      assert.same({ "c", "x" }, files.list_folder(path .. "/a/b"))
      assert.equal("folder", files.stat(path .. "/a/b/c").kind)
      local s = files.stat(path .. "/a/b/x")
      assert.equal("file", s.kind)
      assert.equal(3, s.size)
      assert.is_nil(files.stat(path .. "/none"))
      assert.raises_like(function() files.make_folder(path .. "/a/b/x") end, "File exists")
      assert.raises_like(function() files.make_folder(path .. "/a/b/x/y") end, "cannot make folder")
      assert.raises_like(function() files.list_folder(path .. "/none") end, "No such file")
    end)
  end)
end)
