#!lua flags=allow-oom
-- Renews up to 250 leases, in order, each with an optional patch. A lapsed lease that was not yet told is renewed, and
-- its face written back; an unknown id is never created.
-- ARGV[3] until when (deadline.lua)
-- ARGV[4..] per beat: id, then letters that say which parts follow, then those parts in that order: i incarnation,
--   h home '<type>:<group>', p performance JSON, s status, c customState ('=text' or '-' to clear), l labels patch JSON
-- Reply one per beat: { 200, revision, end in ms, ttl in ms } | { 404, epoch } | { 409, epoch } | { 400, part } | { 503, error }
-- Events updated, one for each id that patches change, with all that they change; one entry in the beats for all that were renewed
-- @include keys
-- @include clock
-- @include deadline
-- @include record
-- @include event
-- @include beats
-- @include change
local renewed, performances, anyPerformance = {}, {}, false
local nowIso = iso(now)

local stampsOf = {} -- by ttl: beats of one call share their time, and most of them their ttl
local function stamps_of(ttl)
  stampsOf[ttl] = stampsOf[ttl] or { iso = iso(now + ttl), ends = int(now + ttl), ttl = int(ttl), kept = kept_ms(ttl) }
  return stampsOf[ttl]
end

-- By id, what patches of this call make of its record. It is written and told once, at the end: a server that changes with each
-- of many beats in one call fills the log with no more than its last state.
local patches, patchedIds = {}, {}

local function merge(patch, changes)
  local record = patch.record
  for field, value in pairs(changes) do
    if patch.before[field] == nil then patch.before[field] = record[field] or '' end
    record[field] = value ~= '' and value or nil
    patch.changes[field] = value
  end
end

local function write_patch(id, patch)
  for field, value in pairs(patch.before) do
    local last = patch.changes[field]
    if value == last or (field == 'labels' and same_labels(value ~= '' and value or nil, last ~= '' and last or nil)) then patch.changes[field] = nil end
  end
  local revision = write_changes(id, patch.record, patch.changes, 'heartbeat', {}) or patch.record.revision
  for _, reply in ipairs(patch.replies) do reply[2] = revision or reply[2] end
end

local function beat(id, part)
  local patched = part.s or part.c or part.l
  local patch, record = patches[id], nil
  if patch then
    record = patch.record
  elseif patched then
    record = read_record(id)
  else
    local got = redis.pcall('HMGET', RECORD .. id, 'type', 'group', 'incarnation', 'ttlSeconds', 'revision')
    record = { type = got[1], group = got[2], incarnation = got[3], ttlSeconds = got[4], revision = got[5] }
  end
  if not is_record(record) or (part.h and part.h ~= home_of(record)) then return { 404, epoch() } end
  if part.i and part.i ~= record.incarnation then return { 409, epoch() } end

  local changes, refused
  if patched then
    changes, refused = changes_of(record, part.s or '', part.c or '', part.l or '', '')
    if refused then return { 400, refused } end
  end

  local ttl = ttl_of(record)
  local stamps = stamps_of(ttl)
  local added -- 2 and more: the face had lapsed; an error: it was spoilt by hand
  if part.p then
    anyPerformance = true
    added = redis.pcall('HSET', FACE .. id, 'lastHeartbeat', nowIso, 'expiresAt', stamps.iso, 'performance', part.p)
    redis.call('HSET', RECORD .. id, 'lastHeartbeat', nowIso, 'expiresAt', stamps.iso, 'performance', part.p)
  else
    added = redis.pcall('HSET', FACE .. id, 'lastHeartbeat', nowIso, 'expiresAt', stamps.iso)
    redis.call('HSET', RECORD .. id, 'lastHeartbeat', nowIso, 'expiresAt', stamps.iso)
  end
  if type(added) == 'table' or added >= 2 then write_face(id, redis.call('HGETALL', RECORD .. id), ttl) end
  redis.call('PEXPIRE', FACE .. id, stamps.ttl)
  redis.call('PEXPIRE', RECORD .. id, stamps.kept)
  redis.call('ZADD', LEASES, stamps.ends, home_of(record) .. ':' .. id)

  local revision = record.revision or epoch() .. '.0-0'
  renewed[#renewed + 1] = id
  performances[#performances + 1] = part.p or ''
  local reply = { 200, revision, stamps.ends, stamps.ttl }
  if patched and not patch then
    patch = { record = record, before = {}, changes = {}, replies = {} }
    patches[id], patchedIds[#patchedIds + 1] = patch, id
  end
  if patch then
    record.lastHeartbeat, record.expiresAt, record.performance = nowIso, stamps.iso, part.p or record.performance
    merge(patch, changes or {})
    patch.replies[#patch.replies + 1] = reply
  end
  return reply
end

local function failed(result) return { 503, type(result) == 'table' and result.err or tostring(result) } end

local reply, i = {}, 4
while i <= #ARGV do
  local id, letters, part = ARGV[i], ARGV[i + 1], {}
  for at = 1, #letters do part[string.sub(letters, at, at)] = ARGV[i + 1 + at] end
  i = i + 2 + #letters
  local ok, result = pcall(beat, id, part)
  reply[#reply + 1] = ok and result or failed(result)
end
for _, id in ipairs(patchedIds) do
  local ok, result = pcall(write_patch, id, patches[id])
  if not ok then
    for _, one in ipairs(patches[id].replies) do one[1], one[2] = unpack(failed(result)) end
  end
end
append_beats(renewed, performances, anyPerformance)
return reply
