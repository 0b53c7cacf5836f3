#!lua flags=allow-oom
-- A replica's sign of life, with every read of its view: founds the epoch, notices an outage, tells the time.
-- ARGV[3] 'sweep' when a sweep begins here, else ''
-- Reply { now in ms, start of the last grace in ms, epoch, when it was founded in ms, id of the last event or '', begin of the
--   last sweep in ms }
-- Events none
-- @include keys
-- @include clock
-- @include grace
-- @include event
witness()
if ARGV[3] == 'sweep' then
  redis.call('SET', SWEPT, int(now))
else
  redis.call('SET', SWEPT, int(now), 'NX') -- the silence of an emptied Redis begins now
end
local id = epoch()
return { int(now), redis.call('GET', GRACE) or '0', id, redis.call('HGET', EPOCH, 'at') or '0', head, redis.call('GET', SWEPT) }
