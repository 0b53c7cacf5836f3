#!lua flags=allow-oom
-- A replica's sign of life, twice a second: founds the epoch, notices an outage, tells the time.
-- ARGV none of its own
-- Reply { now in ms, start of the last grace in ms, epoch, id of the last event or '' }
-- Events none
-- @include keys
-- @include clock
-- @include grace
-- @include event
witness()
next_id()
return { int(now), redis.call('GET', GRACE) or '0', epoch(), head }
