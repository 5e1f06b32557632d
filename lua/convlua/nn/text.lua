--- Numbers and models as text.

local tree = require "convlua.nn.tree"

local text = {}

--- 11181642 -> "11,181,642"
function text.count(n)
  local digits = ("%d"):format(n)
  local head = #digits % 3
  local grouped = digits:sub(head + 1):gsub("(%d%d%d)", ",%1")
  return head == 0 and grouped:sub(2) or digits:sub(1, head) .. grouped
end

--- {32, 32, 3} -> "32 x 32 x 3"; nothing at all -> "-"
function text.shape(shape)
  return #shape > 0 and table.concat(shape, " x ") or "-"
end

--- "1 parameter", "1,024 parameters"
function text.parameters(n)
  return text.count(n) .. (n == 1 and " parameter" or " parameters")
end

--- A module, and under it its parts with their options and numbers of parameters. Each part is
-- named by the fields that lead to it from the module it is in.
function text.tree(module)
  local lines, above = {}, {} -- above[d]: how much of a path the module at depth d takes
  tree.walk(module, function(path, part, kind, depth)
    local line
    if kind == "module" then
      line = part.__name .. "  " .. text.parameters(tree.parameter_count(part))
      above[depth + 1] = path == "" and 1 or #path + 2
    elseif kind == "layer" then
      line = tostring(part)
    else
      line = ("%s {%s}"):format(part.dtype, table.concat(part.shape, ", "))
    end
    if path ~= "" then line = path:sub(above[depth]) .. ": " .. line end
    lines[#lines + 1] = ("  "):rep(depth) .. line
  end)
  return table.concat(lines, "\n")
end

return text
