#!lua flags=no-writes
-- Lists live instances in the order of type, group, id. Looks at no more than `limit` members a call: the caller goes on
-- from the last one looked at. Stands in until replicas answer from memory; it never writes.
-- ARGV[3..6] type or '', group or '', '<type>:<group>:<id>' to start after or '', limit
-- Reply { member to go on after or '', record as field, value, … , … }
-- Events none
-- @include keys
-- @include clock
-- @include grace
-- @include record
local kind, group, after, limit = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local afterHome, afterId = string.match(after, '^([^:]*:[^:]*):(.*)$')

-- By type, then group. As one string 'a-b:x' would come before 'a:x', because '-' sorts before ':'.
local function precedes(one, other)
  local oneKind, oneGroup = string.match(one, '^(.*):(.*)$')
  local otherKind, otherGroup = string.match(other, '^(.*):(.*)$')
  if oneKind ~= otherKind then return oneKind < otherKind end
  return oneGroup < otherGroup
end

local homes = {}
if kind ~= '' and group ~= '' then
  homes[1] = kind .. ':' .. group
else
  for _, home in ipairs(redis.call('SMEMBERS', GROUPS)) do
    local homeKind, homeGroup = string.match(home, '^(.*):(.*)$')
    if homeKind and (kind == '' or kind == homeKind) and (group == '' or group == homeGroup) then homes[#homes + 1] = home end
  end
  table.sort(homes, precedes)
end

local reply, looked = { '' }, 0
for _, home in ipairs(homes) do
  if not afterHome or not precedes(home, afterHome) then
    local ids = redis.call('SMEMBERS', MEMBERS .. home)
    table.sort(ids)
    for _, id in ipairs(ids) do
      if home ~= afterHome or id > afterId then
        if looked == limit then return reply end
        looked = looked + 1
        reply[1] = home .. ':' .. id
        local score = tonumber(redis.call('ZSCORE', LEASES, home .. ':' .. id) or '')
        if score then
          local record, known = read_record(id)
          if known and home_of(record) == home and lease_end(score, ttl_of(record)) > now then
            reply[#reply + 1] = flatten(record)
          end
        end
      end
    end
  end
end
reply[1] = ''
return reply
