#!lua
-- Changes status, customState, labels or cordoned of a live instance. Never renews its lease.
-- ARGV[3] until when (deadline.lua)
-- ARGV[4..11] id, home '<type>:<group>' or '', by, status or '', customState ('', '=text', '-'), labels patch JSON or '',
--   cordoned ('', '1', '0'), incarnation or ''
-- Reply { 200, record as field, value, … } | { 404, epoch } | { 409, epoch } | { 400, part }
-- Events updated, if the patch changes something
-- @include keys
-- @include clock
-- @include deadline
-- @include hold
-- @include grace
-- @include record
-- @include event
-- @include change
local id, home, by = ARGV[4], ARGV[5], ARGV[6]
local record, known = read_record(id)
if not known or (home ~= '' and home ~= home_of(record)) then return { 404, epoch() } end
if ARGV[11] ~= '' and ARGV[11] ~= record.incarnation then return { 409, epoch() } end
local score = tonumber(redis.call('ZSCORE', LEASES, home_of(record) .. ':' .. id) or 0)
if lease_end(score, ttl_of(record), home_of(record)) <= now then return { 404, epoch() } end

local changes, refused = changes_of(record, ARGV[7], ARGV[8], ARGV[9], ARGV[10])
if refused then return { 400, refused } end
write_changes(id, record, changes, 'patch', { 'by', by })
return { 200, flatten(record) }
