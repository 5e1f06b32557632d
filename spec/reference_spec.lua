local core = require "convlua.core"
local reference = require "convlua.reference"

describe("the reference", function()
  it("has every op and every layer", function()
    local text, missing = reference.markdown(), {}
    for _, list in ipairs { core.ops(), core.layers() } do
      for _, one in ipairs(list) do
        local signature = one.doc:match "^[^\n]*"
        if not one.internal and not text:find(signature, 1, true) then
          missing[#missing + 1] = one.name
        end
      end
    end
    assert.same({}, missing)
  end)

  it("opens each entry with a call of its name", function()
    local wrong = {}
    for _, list in ipairs { core.ops(), core.layers() } do
      for _, one in ipairs(list) do
        if not one.doc:find("^" .. one.name .. "[({]") then wrong[#wrong + 1] = one.name end
      end
    end
    assert.same({}, wrong)
  end)

  it("has a word on every option", function()
    local silent = {}
    for _, list in ipairs { core.ops(), core.layers() } do
      for _, one in ipairs(list) do
        for _, option in ipairs(one.options) do
          if not option.doc or option.doc == "" then
            silent[#silent + 1] = one.name .. "." .. option.name
          end
        end
      end
    end
    assert.same({}, silent)
  end)

  it("gives editors stubs that are valid Lua", function()
    local stubs = reference.stubs()
    assert(load(stubs, "=stubs", "t"))
    assert.truthy(stubs:find("function convlua.conv2d(", 1, true))
    assert.truthy(stubs:find("function convlua.nn.Dense(", 1, true))
  end)
end)
