#!lua flags=allow-oom
-- Removes an instance, lapsed or not, with its one event.
-- ARGV[3] until when (deadline.lua)
-- ARGV[4..8] id, type or '', group or '', incarnation or '', by
-- Reply { 204, revision } | { 404, epoch } | { 409, epoch }
-- Events removed, with the record as it was
-- @include keys
-- @include clock
-- @include deadline
-- @include record
-- @include event
local id, kind, group, incarnation, by = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local record, known = read_record(id)
if not known or (kind ~= '' and kind ~= record.type) or (group ~= '' and group ~= record.group) then return { 404, epoch() } end
if incarnation ~= '' and incarnation ~= record.incarnation then return { 409, epoch() } end

insist_on_log()
redis.call('ZREM', LEASES, home_of(record) .. ':' .. id)
forget(id, home_of(record), record)
return { 204, append('removed', 'deregister', { 'by', by }, flatten(record)) }
