#!lua flags=allow-oom
-- A replica's sign of life, with every read of its view: founds the epoch, notices an outage and a mass lapse, tells the time.
-- ARGV[3] 'sweep' when a sweep begins here, else ''
-- Reply { now in ms, start of the last grace in ms, epoch, when it was founded in ms, id of the last event or '', begin of the
--   last sweep in ms }
-- Events held; released, when a sweep begins
-- @include keys
-- @include clock
-- @include hold
-- @include grace
-- @include event
-- @include judge
witness()
local id = epoch()
judge_lapses()
if ARGV[3] == 'sweep' then
  release_holds()
  redis.call('SET', SWEPT, int(now))
else
  redis.call('SET', SWEPT, int(now), 'NX') -- the silence of an emptied Redis begins now
end
return { int(now), redis.call('GET', GRACE) or '0', id, redis.call('HGET', EPOCH, 'at') or '0', head, redis.call('GET', SWEPT) }
