#!lua
-- Writes a replica's word on instances that Redis has lost: their records, with a fresh lease. The log is the tombstone: who was
-- removed or has expired is named in it, so nothing is written for an id that an entry after the caller's position names.
-- ARGV[3..5] the caller's epoch; the last entry that it has read ('' for none); its name if it claimed (claim.lua), else ''
-- ARGV[6..] nothing when the caller has nothing left to give back, else per word: how many arguments follow; id, id of the entry that the word is from, ttl in ms, mode; then field, value, …
--   mode  'missing': only where the record is; 'over': whatever is there, because the change was lost; 'remove': the removal was
-- Reply { 'epoch' | 'position' | 'behind' } when the caller must read on first, else { 'done', 1 or 0 per word }
-- Events restored (fromType, fromGroup), or removed for a removal that was lost; `of` names the entry that the word is from. Of two words on one id
--   the later one stands, whoever comes first.
-- @include keys
-- @include clock
-- @include record
-- @include event
local READ_AT_MOST, PAGE, BYTES_AT_MOST = 500, 50, 1000000 -- entries looked through for names: the script blocks Redis meanwhile
local position = ARGV[4]
if epoch() ~= ARGV[3] then return { 'epoch' } end
if position ~= '' and position ~= head and #redis.call('XRANGE', EVENTS, position, position) == 0 then return { 'position' } end
local ALWAYS = { math.huge, 0 }

local named, entries, bytes = {}, 0, 0 -- named by id: from which entry the latest word on it is
local function read_name(entry)
  local id, of
  for i = 1, #entry[2], 2 do
    local field, value = entry[2][i], entry[2][i + 1]
    if field == 'instanceId' then id = value elseif field == 'of' then of = value end
    bytes = bytes + #value
  end
  if id then named[id] = of and order_of(of) or ALWAYS end
end

local from = position == '' and '-' or '(' .. position
repeat
  local page = redis.call('XRANGE', EVENTS, from, '+', 'COUNT', PAGE)
  for _, entry in ipairs(page) do read_name(entry) end
  entries = entries + #page
  if entries > READ_AT_MOST or (bytes > BYTES_AT_MOST and #page == PAGE) then return { 'behind' } end
  if #page > 0 then from = '(' .. page[#page][1] end
until #page < PAGE

local speaker = ARGV[5]
if #ARGV < 6 then -- what the caller knew of the registry is here again
  redis.call('ZREM', SPEAKERS, speaker)
  redis.call('HSET', EPOCH, 'whole', '1')
elseif redis.call('ZADD', SPEAKERS, 'XX', 'CH', int(now + 10000), speaker) == 1 then
  redis.call('PEXPIRE', SPEAKERS, 10000)
end

local function clear(id, record)
  redis.call('ZREM', LEASES, home_of(record) .. ':' .. id)
  forget(id, home_of(record), record)
end

local function speak(id, of, ttl, mode, flat)
  if named[id] and not before(named[id], order_of(of)) then return 0 end
  local record, known = read_record(id)
  if mode == 'missing' and known then return 0 end
  if mode == 'remove' then
    append('removed', 'replay', { 'of', of }, known and flatten(record) or flat)
    if known then clear(id, record) end
    return 1
  end
  local given = {}
  for i = 1, #flat, 2 do given[flat[i]] = flat[i + 1] end
  for _, value in ipairs({ 'expiresAt', iso(now + ttl) }) do flat[#flat + 1] = value end
  flat[#flat + 1] = 'revision'
  local about = { 'of', of }
  if known and home_of(record) ~= home_of(given) then about = { 'of', of, 'fromType', record.type, 'fromGroup', record.group } end
  flat[#flat + 1] = append('restored', 'recovery', about, flat)
  if known then clear(id, record) end
  join_group(home_of(given), id)
  write_instance(id, flat, ttl)
  redis.call('ZADD', LEASES, int(now + ttl), home_of(given) .. ':' .. id)
  return 1
end

local reply, at = { 'done' }, 6
while at <= #ARGV do
  local last, flat = at + tonumber(ARGV[at]), {}
  for i = at + 5, last do flat[#flat + 1] = ARGV[i] end
  local ok, done = pcall(speak, ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4], flat)
  reply[#reply + 1] = ok and done or 0
  at = last + 1
end
return reply
