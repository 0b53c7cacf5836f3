#!lua
-- Registers instances: upsert by id, in order. Knows whether one is new, the same incarnation again, or a replacement, and moves
-- the id out of an older type or group.
-- ARGV[3] until when (deadline.lua)
-- ARGV[4..] per registration: how many arguments follow; id, type, group, incarnation, ttl in ms, mode, home, by; then field,
--   value, … as the caller gave them
--   mode  'register', or 'adopt': only where a hand-written face with a TTL stands and the registry knows no such id
--   home  '*', or the '<type>:<group>' ('' for none) that the caller saw the id in and may move it from
-- Reply one per registration: { outcome, revision }: created | replaced | repeated | moved (home is another
--   now) | skipped (nothing to adopt) | failed (then what Redis said)
-- Events registered (replaces, lapsed, fromType, fromGroup), or updated for the same incarnation with other content;
--   the same incarnation with the same content only renews, and rides the beats
-- @include keys
-- @include clock
-- @include deadline
-- @include hold
-- @include grace
-- @include record
-- @include event
-- @include beats
local nowIso = iso(now)
local renewed, performances, anyPerformance = {}, {}, false

-- What a caller describes. Stamps are the registry's, and performance rides the beats: neither makes a repetition a change.
local DESCRIBED = { 'hostname', 'publicIp', 'privateIp', 'ports', 'status', 'customState', 'labels', 'systemInfo', 'check' }

local function given_fields(first, last)
  local given = {}
  for i = first, last, 2 do given[ARGV[i]] = ARGV[i + 1] end
  return given
end

local function differs(given, old, ttl)
  for _, field in ipairs(DESCRIBED) do
    local alike = given[field] == old[field] or (field == 'labels' and same_labels(given.labels, old.labels))
    if not alike then return true end
  end
  return ttl_of(old) ~= ttl
end

local function replacement_of(old, oldHome, home, lapsed, by)
  local about = { 'by', by, 'replaces', old.incarnation, 'lapsed', lapsed and '1' or '0' }
  if oldHome ~= home then
    for _, value in ipairs({ 'fromType', old.type, 'fromGroup', old.group }) do about[#about + 1] = value end
  end
  return about
end

local function register(first, last)
  local id, kind, group, incarnation, ttl = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], tonumber(ARGV[first + 4])
  local mode, allowedHome, by = ARGV[first + 5], ARGV[first + 6], ARGV[first + 7]
  local home = kind .. ':' .. group

  local old, known = read_record(id)
  local oldHome = known and home_of(old) or ''
  if known and allowedHome ~= '*' and allowedHome ~= oldHome then return { 'moved', '' } end
  if mode == 'adopt' and (known or redis.call('PTTL', FACE .. id) <= 0) then return { 'skipped', '' } end

  local same = known and old.incarnation == incarnation and oldHome == home
  local given = same and given_fields(first + 8, last)
  local changed = not same or differs(given, old, ttl)
  local record = {
    'instanceId', id, 'type', kind, 'group', group, 'incarnation', incarnation, 'ttlSeconds', int(ttl / 1000),
    'registeredAt', same and old.registeredAt or nowIso, 'updatedAt', changed and nowIso or old.updatedAt or nowIso,
    'lastHeartbeat', nowIso, 'expiresAt', iso(now + ttl),
  }
  for i = first + 8, last do record[#record + 1] = ARGV[i] end
  local function keep(field, value)
    if not value then return end
    record[#record + 1] = field
    record[#record + 1] = value
  end
  keep('cordoned', old.cordoned) -- an operator's word outlives the process
  if same then
    keep('health', old.health)
    if not given.performance then keep('performance', old.performance) end -- it rides the beats: a retry without it says nothing
  end

  join_group(home, id)
  local revision = old.revision or epoch() .. '.0-0'
  if not known then
    revision = append('registered', mode, { 'by', by }, record)
  elseif not same then
    local score = tonumber(redis.call('ZSCORE', LEASES, oldHome .. ':' .. id) or 0)
    local lapsed = lease_end(score, ttl_of(old), '') <= now -- a hold keeps it listed, and does not make it live
    revision = append('registered', mode, replacement_of(old, oldHome, home, lapsed, by), record)
  elseif changed then
    revision = append('updated', 'register', { 'by', by }, record)
  else
    renewed[#renewed + 1] = id
    performances[#performances + 1] = given.performance or ''
    anyPerformance = anyPerformance or given.performance ~= nil
  end
  keep('revision', revision)

  if known and oldHome ~= home then
    redis.call('ZREM', LEASES, oldHome .. ':' .. id)
    leave_group(oldHome, id)
  end
  write_instance(id, record, ttl)
  redis.call('ZADD', LEASES, int(now + ttl), home .. ':' .. id)
  return { not known and 'created' or same and 'repeated' or 'replaced', revision }
end

local reply, at = {}, 4
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  local ok, result = pcall(register, at + 1, last)
  reply[#reply + 1] = ok and result or { 'failed', type(result) == 'table' and result.err or tostring(result) }
  at = last + 1
end
append_beats(renewed, performances, anyPerformance)
return reply
