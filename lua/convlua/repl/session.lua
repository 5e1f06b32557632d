--- Chunks typed one after the other, as if they were one: a `local` of one line is there on the
-- next.
--
-- Lua compiles every line at the prompt as a chunk of its own, and a local dies with its chunk.
-- Here a chunk is compiled inside a function whose upvalues are the locals that earlier chunks
-- declared, and at its end it hands out one closure for each local that it declares itself:
--
--     local a, b; return function(...) <chunk> return { function() return new end } end
--
-- debug.upvaluejoin makes a and b the very variables of those chunks, not copies. So closures made
-- earlier see assignments made later, a new `local a` shadows the old one without touching the
-- closures that hold it, `local x = x` reads the old x, and <const> stays constant: all as in one
-- long chunk.

local session = {}
session.__index = session

-- What opens and closes a block. The `do` counts, not its `for` or `while`.
local blocks = {
  ["function"] = 1, ["if"] = 1, ["do"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1,
}

--- The next token of `text` from `at`: its kind ("name", "number", "string" or the character),
-- first and last position; nil at the end. Reserved words are names. The text must be valid Lua.
local function token(text, at)
  repeat -- spaces and comments
    local start = at
    at = text:find("[^%s]", at) or #text + 1
    if text:find("^%-%-", at) then
      local level = text:match("^%-%-%[(=*)%[", at)
      local _, last = text:find(level and "]" .. level .. "]" or "\n", at, true)
      at = (last or #text) + 1
    end
  until at == start
  if at > #text then return nil end
  local _, last = text:find("^[%a_][%w_]*", at)
  if last then return "name", at, last end
  _, last = text:find("^%.?%d[%w.]*", at)
  if last then return "number", at, last end
  local level = text:match("^%[(=*)%[", at)
  if level then
    _, last = text:find("]" .. level .. "]", at, true)
    return "string", at, last or #text
  end
  local quote = text:match("^[\"']", at)
  if quote then
    last = at + 1
    while last <= #text and text:sub(last, last) ~= quote do
      last = last + (text:sub(last, last) == "\\" and 2 or 1)
    end
    return "string", at, last
  end
  return text:sub(at, at), at, at
end

--- What a chunk declares and mentions:
--   locals     those of its outermost block, in order: { name, attribute, first, last }, the last
--              two being where the attribute stands
--   after      position behind the outermost `return`, if there is one
--   values     whether that return is followed by expressions
--   names      set of all names in it
local function scan(text)
  local found = { locals = {}, names = {} }
  local depth, at = 0, 1
  local kind, first, last = token(text, at)
  local function advance()
    kind, first, last = token(text, last + 1)
    return kind and text:sub(first, last)
  end
  local word = kind and text:sub(first, last)
  while kind do
    local follow = false -- the token after this one has been read already
    if kind == "name" then
      found.names[word] = true
      depth = depth + (blocks[word] or 0)
      if depth == 0 and word == "return" then
        found.after = last
        word, follow = advance(), true
        found.values = kind ~= nil and word ~= ";"
      elseif depth == 0 and word == "local" then
        word = advance()
        if word == "function" then
          word = advance()
          found.locals[#found.locals + 1] = { name = word }
          depth = 1
        else
          repeat
            local declared = { name = word }
            found.locals[#found.locals + 1] = declared
            word = advance()
            if word == "<" then
              declared.first = first
              declared.attribute = advance()
              advance()
              declared.last = last
              word = advance()
            end
            local comma = word == ","
            if comma then word = advance() end
          until not comma
          follow = true
        end
      end
    end
    if not follow then word = advance() end
  end
  return found
end

--- The locals that a later chunk can see: for each name the last one declared.
local function visible(locals)
  local last, list = {}, {}
  for i, declared in ipairs(locals) do last[declared.name] = i end
  for i, declared in ipairs(locals) do
    if last[declared.name] == i then list[#list + 1] = declared end
  end
  return list
end

--- The chunk as the body of a function that returns its locals, then its values.
local function body(text, found, declared)
  local keepers = {}
  for i, one in ipairs(declared) do keepers[i] = ("function() return %s end"):format(one.name) end
  local list = "{ " .. table.concat(keepers, ", ") .. " }"
  local parts, at = {}, 1
  local function copy(last)
    parts[#parts + 1] = text:sub(at, last)
    at = last + 1
  end
  for _, one in ipairs(found.locals) do
    if one.attribute == "close" then -- the session closes it, not the chunk
      copy(one.first - 1)
      parts[#parts + 1] = "<const>"
      at = one.last + 1
    end
  end
  if found.after then -- always, so that it is no tail call: its frame belongs into a traceback
    copy(found.after)
    parts[#parts + 1] = " " .. list .. (found.values and "," or "")
    copy(#text)
  else
    copy(#text)
    parts[#parts + 1] = "\nreturn " .. list
  end
  return table.concat(parts)
end

function session.new()
  return setmetatable({ cells = {}, closing = {} }, session)
end

--- Declares the earlier locals that `found` mentions; `...` keeps a constant from being folded into
-- the code.
local function prelude(self, found)
  local list = {}
  for name, cell in pairs(self.cells) do
    if found.names[name] or name == "_ENV" then
      list[#list + 1] = name .. (cell.constant and " <const>" or "")
    end
  end
  table.sort(list)
  return #list == 0 and "" or "local " .. table.concat(list, ", ") .. " = ... "
end

--- A chunk that can be given to `run`, or nil and the message of the compiler.
function session:compile(text, name)
  local plain, message = load(text, name, "t")
  if not plain then return nil, message end
  local found = scan(text)
  local declared = visible(found.locals)
  local source = prelude(self, found) .. "return function(...) " ..
    body(text, found, declared) .. "\nend"
  local outer, problem = load(source, name, "t")
  if not outer then
    -- An assignment to a constant of an earlier line; or a limit of Lua, which the chunk alone may
    -- keep.
    if problem:find("attempt to assign to const variable", 1, true) then return nil, problem end
    return { call = plain, plain = true, declared = {}, all = {} }
  end
  local call = outer()
  for i = 1, math.huge do
    local upvalue = debug.getupvalue(call, i)
    if not upvalue then break end
    local cell = self.cells[upvalue]
    if cell then debug.upvaluejoin(call, i, cell.keeper, cell.index) end
  end
  return { call = call, declared = declared, all = found.locals }
end

local function closer(value)
  local metatable = debug.getmetatable(value)
  return metatable and metatable.__close
end

--- Makes a local of the chunk visible to the following ones.
local function adopt(self, declared, keeper)
  local constant = declared.attribute ~= nil
  if debug.getupvalue(keeper, 1) == declared.name then
    self.cells[declared.name] = { keeper = keeper, index = 1, constant = constant }
  else -- a constant known to the compiler is no variable: make it one
    local value = keeper()
    local function keep() return value end
    self.cells[declared.name] = { keeper = keep, index = 1, constant = constant }
  end
  if declared.attribute == "close" then
    local value = keeper()
    if value then
      if not closer(value) then
        error(("variable '%s' got a non-closable value"):format(declared.name), 0)
      end
      self.closing[#self.closing + 1] = value
    end
  end
end

--- The <close> variables that are alive in the chunk's frame when it fails; called by the message
-- handler.
local function alive(chunk)
  local level, list, wanted = 2, {}, {}
  for _, declared in ipairs(chunk.all) do
    if declared.attribute == "close" then wanted[declared.name] = true end
  end
  if next(wanted) == nil then return list end
  while true do
    local info = debug.getinfo(level, "f")
    if not info then return list end
    if info.func == chunk.call then break end
    level = level + 1
  end
  for i = 1, math.huge do
    local name, value = debug.getlocal(level, i)
    if not name then break end
    if wanted[name] and value and closer(value) then list[#list + 1] = value end
  end
  return list
end

local function close_all(list, problem)
  for i = #list, 1, -1 do
    local value = list[i]
    list[i] = nil
    local close = closer(value)
    if close then pcall(close, value, problem) end
  end
end

--- Runs a compiled chunk. Gives true and its values, or false and what `handler` made of the error.
-- Locals of a chunk that failed do not survive it, as in any other block; its <close> variables are
-- closed.
function session:run(chunk, handler)
  local closing = {}
  local function handle(problem)
    closing = alive(chunk)
    return handler(problem)
  end
  local results = table.pack(xpcall(chunk.call, handle))
  if not results[1] then
    close_all(closing, results[2])
    return false, results[2]
  end
  if chunk.plain then return table.unpack(results, 1, results.n) end
  for i, declared in ipairs(chunk.declared) do
    local ok, problem = pcall(adopt, self, declared, results[2][i])
    if not ok then return false, problem end
  end
  return true, table.unpack(results, 3, results.n)
end

--- The value of a local declared at the prompt: true, value; or false.
function session:get(name)
  local cell = self.cells[name]
  if not cell then return false end
  return true, (select(2, debug.getupvalue(cell.keeper, cell.index)))
end

--- Names of the locals declared at the prompt, sorted.
function session:names()
  local list = {}
  for name in pairs(self.cells) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- The end: <close> variables are closed, the last one first.
function session:close()
  close_all(self.closing)
end

return session
