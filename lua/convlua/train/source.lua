--- What a loop takes batches from: an object with :start(epoch, batch), :next() -> x, y and
-- :batches(), or a plain list of {x, y}, which is taken in its order.

local source = {}

local List = {}
List.__index = List

function List:start(_, batch) self.at = batch - 1 end

function List:batches() return #self.list end

function List:next()
  self.at = self.at + 1
  local pair = self.list[self.at]
  if pair then return pair[1], pair[2] end
end

local function method(object, name)
  local ok, value = pcall(function() return object[name] end)
  return ok and value or nil
end

--- `who` wants it, for the error: "train.Loop: training".
function source.of(object, who)
  if method(object, "start") and method(object, "next") and method(object, "batches") then return object end
  if type(object) == "table" then
    for i, pair in ipairs(object) do
      if type(pair) ~= "table" or pair[1] == nil then
        error(("%s: element %d is not a pair {input, target}"):format(who, i), 0)
      end
    end
    if #object > 0 or next(object) == nil then return setmetatable({ list = object }, List) end
  end
  error(("%s: a loader (start, next, batches) or a list of {input, target} expected, got %s")
    :format(who, type(object)), 0)
end

return source
