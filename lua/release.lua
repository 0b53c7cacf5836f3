#!lua flags=allow-oom
-- Ends the hold of a group before its time: an operator knows that its silent members are gone.
-- ARGV[3..4] '<type>:<group>', by
-- Reply 1, or 0 when the group is not held
-- Events released
-- @include keys
-- @include clock
-- @include hold
-- @include grace
-- @include event
-- @include judge
local home, by = ARGV[3], ARGV[4]
local hold = hold_of(home)
if not hold or hold.state ~= 'held' or now >= hold.till then return 0 end
hold.cool = now + hold.cool - hold.till
hold.till, hold.state = now, 'released'
write_hold(home, hold)
tell_hold('released', 'operator', by, home, hold)
return 1
