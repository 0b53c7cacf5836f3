#!lua flags=allow-oom
-- A replica whose log does not go on says how far it had read, and learns who read furthest. When changes are missing under the
-- epoch that it knows (a failover, an old snapshot), it founds a new one, and every lease gets a grace. Whoever claims may be about to
-- give back what is missing: until all have who claimed, or 10 s later, nobody takes what is there for the whole (SPEAKERS).
-- ARGV[3..7] the epoch that the caller knew, its watermark in ms, '1' if changes are missing under that epoch, else '', id of the latest entry
--   that it knows, lost ones too, or ''; name of the replica
-- Reply { epoch, when it was founded in ms, the latest watermark claimed in ms, now in ms, the last entry before it or '' }
-- Events none
-- @include keys
-- @include clock
-- @include event
local known, watermark, lost = ARGV[3], tonumber(ARGV[4]), ARGV[5]
if epoch() == known and lost == '1' then
  found_epoch() -- compare and set: of several who find it, one does
  redis.call('SET', GRACE, int(now))
end
local freshest = math.max(watermark, tonumber(redis.call('HGET', EPOCH, 'freshest') or 0))
redis.call('HSET', EPOCH, 'freshest', int(freshest))
note_floor(ARGV[6] or '')
redis.call('ZADD', SPEAKERS, int(now + 10000), ARGV[7])
redis.call('PEXPIRE', SPEAKERS, 10000)
local at, from = unpack(redis.call('HMGET', EPOCH, 'at', 'from'))
return { epochId, at or int(now), int(freshest), int(now), from }
