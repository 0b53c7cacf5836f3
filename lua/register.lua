#!lua
-- Registers an instance: upsert by id. Knows whether it is new, the same incarnation again, or a replacement, and moves
-- the id out of an older type or group.
-- ARGV[3..10] id, type, group, incarnation, ttl in ms, mode, home, by; ARGV[11..] field, value, … as the caller gave them
--   mode  'register', or 'adopt': only where a hand-written face with a TTL stands and the registry knows no such id
--   home  '*', or the '<type>:<group>' ('' for none) that the caller saw the id in and may move it from
-- Reply { outcome, revision }: created | replaced | repeated | moved (home is another now) | skipped (nothing to adopt)
-- Events registered (replaces, lapsed, fromType, fromGroup), or updated for the same incarnation with other content;
--   the same incarnation with the same content only renews, and rides the beats
-- @include keys
-- @include clock
-- @include grace
-- @include record
-- @include event
-- @include beats
local id, kind, group, incarnation, ttl = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local mode, allowedHome, by = ARGV[8], ARGV[9], ARGV[10]
local home = kind .. ':' .. group

local old, known = read_record(id)
local oldHome = known and home_of(old) or ''
if allowedHome ~= '*' and allowedHome ~= oldHome then return { 'moved', '' } end
if mode == 'adopt' and (known or redis.call('PTTL', FACE .. id) <= 0) then return { 'skipped', '' } end

local oldScore = known and tonumber(redis.call('ZSCORE', LEASES, oldHome .. ':' .. id) or 0)
local lapsed = known and lease_end(oldScore, ttl_of(old)) <= now
local same = known and old.incarnation == incarnation and oldHome == home

-- What a caller describes. Stamps are the registry's, and performance rides the beats: neither makes a repetition a change.
local DESCRIBED = { 'hostname', 'publicIp', 'privateIp', 'ports', 'status', 'customState', 'labels', 'systemInfo', 'check' }
local function same_labels(one, other) -- a merged patch is stored in no order
  local ok, a, b = pcall(function() return cjson.decode(one or '{}'), cjson.decode(other or '{}') end)
  if not ok then return false end
  for key, value in pairs(a) do if b[key] ~= value then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

local function differs_from(known_record)
  local given = {}
  for i = 11, #ARGV, 2 do given[ARGV[i]] = ARGV[i + 1] end
  for _, field in ipairs(DESCRIBED) do
    if given[field] ~= known_record[field] and not (field == 'labels' and same_labels(given.labels, known_record.labels)) then return true end
  end
  return tonumber(known_record.ttlSeconds) * 1000 ~= ttl
end

local changed = not same or differs_from(old)
local nowIso = iso(now)
local record = {
  'instanceId', id, 'type', kind, 'group', group, 'incarnation', incarnation, 'ttlSeconds', int(ttl / 1000),
  'registeredAt', same and old.registeredAt or nowIso, 'updatedAt', changed and nowIso or old.updatedAt,
  'lastHeartbeat', nowIso, 'expiresAt', iso(now + ttl),
}
local function keep(field, value)
  if not value then return end
  record[#record + 1] = field
  record[#record + 1] = value
end
for i = 11, #ARGV, 2 do keep(ARGV[i], ARGV[i + 1]) end
keep('cordoned', old.cordoned) -- an operator's word outlives the process
if same then keep('health', old.health) end

local function field_of(flat, name)
  for i = 1, #flat, 2 do
    if flat[i] == name then return flat[i + 1] end
  end
end

if known and oldHome ~= home then
  redis.call('ZREM', LEASES, oldHome .. ':' .. id)
  leave_group(oldHome, id)
end

local revision = old.revision
if not same then
  local about = { 'by', by }
  if known then about = { 'by', by, 'replaces', old.incarnation, 'lapsed', lapsed and '1' or '0' } end
  if known and oldHome ~= home then
    for _, value in ipairs({ 'fromType', old.type, 'fromGroup', old.group }) do about[#about + 1] = value end
  end
  revision = append('registered', mode, about, record)
elseif changed then
  revision = append('updated', 'register', { 'by', by }, record)
else
  local performance = field_of(record, 'performance')
  append_beats({ id }, { performance or '' }, performance ~= nil)
end
keep('revision', revision)

write_instance(id, record, ttl)
redis.call('SADD', MEMBERS .. home, id)
redis.call('SADD', GROUPS, home)
redis.call('ZADD', LEASES, int(now + ttl), home .. ':' .. id)
return { not known and 'created' or same and 'repeated' or 'replaced', revision }
