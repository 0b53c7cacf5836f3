#!lua flags=no-writes
-- Entries of the log as one JSON text, for who looks back: to take a hundred replies of fields apart costs a replica several times as much.
-- ARGV[3] `after` or `before`: oldest or latest first; ARGV[4] id of the entry to go on from, '' for the end of the log
-- ARGV[5] how many entries to look at; ARGV[6..9] what is asked for, '' for any: kinds with commas around and between them, instanceId, type, group
-- Reply { entries looked at, id of the last, 1 at the end of the log, JSON }: an object of fields and `:id` per entry that was asked for. It
--   ends when what was found makes 256 KB
-- Events none
-- @include keys
local BYTES_AT_MOST = 256 * 1024
local AT_ONCE = 50 -- large ones are not read only to be left out
local forward, at, count = ARGV[3] == 'after', ARGV[4], tonumber(ARGV[5])
local kinds, asked = ARGV[6], { instanceId = ARGV[7], type = ARGV[8], group = ARGV[9] }

local function some(wanted)
  if forward then return redis.call('XRANGE', EVENTS, at == '' and '-' or '(' .. at, '+', 'COUNT', wanted) end
  return redis.call('XREVRANGE', EVENTS, at == '' and '+' or '(' .. at, '-', 'COUNT', wanted)
end

local function is_asked(fields)
  if not fields.kind or kinds ~= '' and not string.find(kinds, ',' .. fields.kind .. ',', 1, true) then return false end
  for name, value in pairs(asked) do
    if value ~= '' and fields[name] ~= value then return false end
  end
  return true
end

local found, looked, bytes = {}, 0, 0
local function take(entry)
  local id, flat = entry[1], entry[2]
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  fields[':id'] = id
  looked, at = looked + 1, id
  if not is_asked(fields) then return end
  found[#found + 1] = cjson.encode(fields)
  bytes = bytes + #found[#found]
end

local ended = false
while looked < count and bytes <= BYTES_AT_MOST and not ended do
  local wanted = math.min(AT_ONCE, count - looked)
  local entries = some(wanted)
  ended = #entries < wanted
  for i, entry in ipairs(entries) do
    take(entry)
    if bytes > BYTES_AT_MOST then
      ended = ended and i == #entries
      break
    end
  end
end
return { looked, at, ended and 1 or 0, '[' .. table.concat(found, ',') .. ']' }
