-- JSON, written so that files can be compared byte by byte and read strictly.

local json = require "convlua.json"

describe("json.encode", function()
  it("sorts keys and keeps integers and floats apart", function()
    assert.equal('{"a":1,"b":1.0,"c":[true,null,"x"]}',
      json.encode { c = { true, json.null, "x" }, b = 1.0, a = 1 })
  end)

  it("writes floats with the fewest digits that read back the same", function()
    assert.equal("[0.1,0.30000000000000004,1e+300,-0.0]", json.encode { 0.1, 0.1 + 0.2, 1e300, -0.0 })
  end)

  it("escapes what must be", function()
    assert.equal([["a\"b\\\n\u0001é"]], json.encode 'a"b\\\n\1é')
  end)

  it("tells an empty list from an empty object", function()
    assert.equal("{} []", json.encode {} .. " " .. json.encode(json.array()))
  end)

  it("refuses what JSON cannot say, and tells where it is", function()
    local cyclic = {}
    cyclic.a = cyclic
    for _, case in ipairs {
      { { a = { 1, 0 / 0 } }, "the value.a[2] is" },
      { { print }, "the value[1] is a function" },
      { { [1] = 1, x = 2 }, "keys are strings" },
      { cyclic, "nested too deeply" },
      { "\xff", "not UTF-8" },
    } do
      assert.raises_like(function() json.encode(case[1]) end, case[2])
    end
    assert.equal("[null]", json.encode({ 1 / 0 }, { non_finite = "null" }))
  end)
end)

describe("json.decode", function()
  it("reads what encode writes", function()
    local value = { list = { 1, 2.5, "é\n" }, empty = json.array(), deep = { { { x = true } } },
      integer = math.mininteger, float = 2.0 }
    local text = json.encode(value)
    assert.equal(text, json.encode(json.decode(text)))
    assert.equal("float", math.type(json.decode "2.0"))
  end)

  it("reads escapes, also beyond the first plane", function()
    assert.equal('"/\b\f\t☃😀', json.decode [["\"\/\b\f\t\u2603\ud83d\ude00"]])
  end)

  it("refuses everything else with its place", function()
    for _, case in ipairs {
      { "", "value expected at byte 1" }, { "[1,]", "value expected" }, { "[1 2]", "',' or ']'" },
      { "{a:1}", "key expected" }, { '{"a":1,"a":2}', "comes twice" }, { "01", "malformed number" },
      { "1.", "malformed number" }, { "+1", "value expected" }, { "nul", "value expected" },
      { '"a', "without end" }, { '"\\x"', "unknown escape" }, { '"\\ud800"', "surrogate" },
      { "1 1", "the end expected at byte 3" }, { "[\n\n?]", "line 3" }, { '"\1"', "control character" },
      { ("["):rep(200), "nested too deeply" }, { "NaN", "value expected" }, { '"\xff"', "not UTF-8" },
    } do
      assert.raises_like(function() json.decode(case[1]) end, case[2])
    end
  end)
end)
