#!lua flags=allow-oom
-- Holds a lock for longer.
-- ARGV[3..4] lease, ttl in ms
-- Reply { 200, fencing token, its end in ms } | { 404 }
-- Events none
-- @include lockkeys
-- @include clock
local held = redis.call('HMGET', HELD, 'lease', 'token')
if held[1] ~= ARGV[3] then return { 404 } end
redis.call('PEXPIRE', HELD, ARGV[4])
return { 200, held[2], int(now + tonumber(ARGV[4])) }
