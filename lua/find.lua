#!lua flags=no-writes
-- One live instance by id. Stands in, like discover, until replicas answer from memory.
-- ARGV[3] id
-- Reply record as field, value, …; empty when unknown or lapsed
-- Events none
-- @include keys
-- @include clock
-- @include grace
-- @include record
local record, known = read_record(ARGV[3])
if not known then return {} end
local score = tonumber(redis.call('ZSCORE', LEASES, home_of(record) .. ':' .. ARGV[3]) or 0)
if lease_end(score, ttl_of(record)) <= now then return {} end
return flatten(record)
