#!lua flags=allow-oom
-- A replica's sign of life, with every read of its view: founds the epoch, notices an outage and a mass lapse, tells the time.
-- ARGV[3] 'sweep' when a sweep begins here, else ''; ARGV[4] what the replica tells the others of its content, else '' or absent
-- Reply { now in ms, start of the last grace in ms, epoch, when it was founded in ms, id of the last event or '', begin of the
--   last sweep in ms, up to which ms all lapses have been judged, end of the last outage that only short leases need a grace for,
--   until when others may be giving back what was lost (0: nobody), '1' when the epoch began with nothing and nobody has given
--   anything back, else '', what a replica told last }
-- Events held
-- @include keys
-- @include clock
-- @include hold
-- @include grace
-- @include event
-- @include judge
-- @include setback
local clockSetBack = witness()
local id = epoch()
if clockSetBack then begin_cut() end
go_on_cutting()
local judged = judge_lapses()
if ARGV[3] == 'sweep' then
  redis.call('SET', SWEPT, int(now))
else
  redis.call('SET', SWEPT, int(now), 'NX') -- the silence of an emptied Redis begins now
end
local grace, swept = redis.call('GET', GRACE) or '0', redis.call('GET', SWEPT)
if ARGV[4] and ARGV[4] ~= '' then redis.call('HSET', EPOCH, 'content', ARGV[4]) end
local at, lull, from, whole, content = unpack(redis.call('HMGET', EPOCH, 'at', 'lull', 'from', 'whole', 'content'))
local speaking = redis.call('ZREVRANGE', SPEAKERS, 0, 0, 'WITHSCORES')[2]
local unknown = from == '' and not whole -- nobody knows what was in it before
return { int(now), grace, id, at or '0', head, swept, int(judged), lull or '0', speaking or '0', unknown and '1' or '', content or '' }
