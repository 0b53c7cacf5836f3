#!lua flags=allow-oom
-- Gives a lock back, or only a place in its queue, and wakes whose turn it is then: its replica blocks on a list of its own. Only the holder's
-- own word ends a lock: a replica whose caller has gone gives up waiting, for the same attempt may have got the lock at another.
-- ARGV[3..5] lease, name of the lock; name of the replica that gives up waiting, else ''
-- Reply { 204 } | { 404 } when this lease did not hold it, or does not wait there
-- Events none
-- @include lockkeys
-- @include clock
-- @include lockqueue
local lease, name, waited_at = ARGV[3], ARGV[4], ARGV[5]
local holder = redis.call('HGET', HELD, 'lease')
if waited_at ~= '' then
  local seen = redis.call('HGET', SEEN, lease)
  if not seen or string.match(seen, ' (.+)$') ~= waited_at then return { 404 } end
end
leave_queue(lease)
if holder == lease and waited_at == '' then
  redis.call('DEL', HELD)
elseif holder then
  return { waited_at == '' and 404 or 204 }
end

local turn = first_waiting()
if turn and turn ~= '' then
  local replica = string.match(redis.call('HGET', SEEN, turn), ' (.+)$')
  redis.call('RPUSH', WAKE .. replica, name .. ' ' .. turn)
  redis.call('LTRIM', WAKE .. replica, -1000, -1)
  redis.call('PEXPIRE', WAKE .. replica, 5000)
end
return { (holder or waited_at ~= '') and 204 or 404 }
