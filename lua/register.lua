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

local record = {
  instanceId = id, type = kind, group = group, incarnation = incarnation, ttlSeconds = int(ttl / 1000),
  cordoned = old.cordoned, lastHeartbeat = iso(now), expiresAt = iso(now + ttl),
}
for i = 11, #ARGV, 2 do record[ARGV[i]] = ARGV[i + 1] end

-- Stamps are the registry's, and performance rides the beats: neither makes a repetition a change.
local STAMPS = { registeredAt = 1, updatedAt = 1, lastHeartbeat = 1, expiresAt = 1, revision = 1, performance = 1, health = 1 }
local changed = false
if same then
  record.registeredAt, record.updatedAt, record.revision, record.health = old.registeredAt, old.updatedAt, old.revision, old.health
  for field, value in pairs(record) do changed = changed or (not STAMPS[field] and old[field] ~= value) end
  for field in pairs(old) do changed = changed or (not STAMPS[field] and record[field] == nil) end
else
  record.registeredAt, record.updatedAt = iso(now), iso(now)
end

if known and oldHome ~= home then
  redis.call('ZREM', LEASES, oldHome .. ':' .. id)
  leave_group(oldHome, id)
end

if not same then
  local about = { 'by', by }
  if known then
    about = { 'by', by, 'replaces', old.incarnation, 'lapsed', lapsed and '1' or '0' }
    if oldHome ~= home then
      for _, value in ipairs({ 'fromType', old.type, 'fromGroup', old.group }) do about[#about + 1] = value end
    end
  end
  record.revision = append('registered', mode, about, record)
elseif changed then
  record.updatedAt = iso(now)
  record.revision = append('updated', 'register', { 'by', by }, record)
else
  append_beats({ id }, { record.performance or '' }, record.performance ~= nil)
end

write_instance(id, record, ttl)
redis.call('SADD', MEMBERS .. home, id)
redis.call('SADD', GROUPS, home)
redis.call('ZADD', LEASES, int(now + ttl), home .. ':' .. id)
return { not known and 'created' or same and 'repeated' or 'replaced', record.revision }
