#!lua flags=allow-oom
-- Ends holds: of a group before its time, for an operator who knows that its silent members are gone; or of groups whose time is
-- over, each once, and forgets them after their cool-down.
-- ARGV[3] by: the operator's token, or '' for those whose time is over; ARGV[4..] '<type>:<group>', at most 100: the script blocks
--   Redis while it runs
-- Reply how many were released
-- Events released
-- @include keys
-- @include clock
-- @include hold
-- @include grace
-- @include event
-- @include judge
local by, released = ARGV[3], 0

local function release(home, hold, cause)
  hold.state = 'released'
  write_hold(home, hold)
  tell_hold('released', cause, by, home, hold)
  released = released + 1
end

local function end_early(home, hold)
  if not hold or hold.state ~= 'held' or now >= hold.till then return end
  hold.cool, hold.till = now + hold.cool - hold.till, now
  release(home, hold, 'operator')
end

local function end_in_time(home, hold)
  if hold and hold.since > now then -- the clock was set back since: it lasts as long as it was to last
    local ahead = hold.since - now
    hold.since, hold.till, hold.cool = now, hold.till - ahead, hold.cool - ahead
    write_hold(home, hold)
  elseif hold and hold.state == 'held' and now >= hold.till then
    release(home, hold, 'time')
  elseif not (hold and now < hold.cool) then
    redis.call('HDEL', HOLDS, home)
  end
end

for i = 4, #ARGV do
  local ending = by == '' and end_in_time or end_early
  if ARGV[i] ~= '' then ending(ARGV[i], hold_of(ARGV[i])) end -- '' is the mark of judging
end
return released
