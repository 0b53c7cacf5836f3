#!lua flags=allow-oom
-- Renews up to 250 leases, in order, each with an optional patch. A lapsed lease that was not yet told is renewed, and
-- its face written back; an unknown id is never created.
-- ARGV[3..] seven per beat: id, incarnation or '', home '<type>:<group>' or '', performance JSON or '', status or '',
--   customState ('', '=text', '-'), labels patch JSON or ''
-- Reply { epoch, then one per beat: { 200, revision, end in ms, ttl in ms } | { 404 } | { 409 } | { 400, part } | { 503, error } }
-- Events updated, for beats whose patch changes something; one entry in the beats for all that were renewed
-- @include keys
-- @include clock
-- @include record
-- @include event
-- @include beats
-- @include change
local renewed, performances, anyPerformance = {}, {}, false

-- Reads come before writes, and the key most likely to be spoilt by hand before the others: one that fails changes nothing.
local function beat(id, incarnation, home, performance, status, customState, labels)
  local patched = status ~= '' or customState ~= '' or labels ~= ''
  local record
  if patched then
    record = read_record(id)
  else
    local got = redis.call('HMGET', RECORD .. id, 'type', 'group', 'incarnation', 'ttlSeconds', 'revision')
    record = { type = got[1], group = got[2], incarnation = got[3], ttlSeconds = got[4], revision = got[5] }
  end
  if not record.type or (home ~= '' and home ~= home_of(record)) then return { 404 } end
  if incarnation ~= '' and incarnation ~= record.incarnation then return { 409 } end

  local changes = {}
  if patched then
    local refused
    changes, refused = changes_of(record, status, customState, labels, '')
    if refused then return { 400, refused } end
  end

  local ttl = ttl_of(record)
  local stamps = { 'lastHeartbeat', iso(now), 'expiresAt', iso(now + ttl) }
  if performance ~= '' then
    stamps[5] = 'performance'
    stamps[6] = performance
    anyPerformance = true
  end
  local added = redis.call('HSET', FACE .. id, unpack(stamps))
  redis.call('HSET', RECORD .. id, unpack(stamps))
  if added >= 2 then write_face(id, redis.call('HGETALL', RECORD .. id), ttl) end
  redis.call('PEXPIRE', FACE .. id, int(ttl))
  redis.call('PEXPIRE', RECORD .. id, int(3 * ttl))
  redis.call('ZADD', LEASES, int(now + ttl), home_of(record) .. ':' .. id)
  for i = 1, #stamps, 2 do record[stamps[i]] = stamps[i + 1] end
  local revision = write_changes(id, record, changes, 'heartbeat', {}) or record.revision

  renewed[#renewed + 1] = id
  performances[#performances + 1] = performance
  return { 200, revision, int(now + ttl), int(ttl) }
end

local reply = { epoch() }
for i = 3, #ARGV, 7 do
  local ok, result = pcall(beat, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
  reply[#reply + 1] = ok and result or { 503, type(result) == 'table' and result.err or tostring(result) }
end
append_beats(renewed, performances, anyPerformance)
return reply
