#!lua flags=allow-oom
-- Gives a lock back, or a place in its queue, and wakes whose turn it is then: its replica blocks on a list of its own.
-- ARGV[3..4] lease, name of the lock
-- Reply { 204 } | { 404 } when this lease did not hold it
-- Events none
-- @include lockkeys
-- @include clock
-- @include lockqueue
local lease, name = ARGV[3], ARGV[4]
local holder = redis.call('HGET', HELD, 'lease')
leave_queue(lease)
if holder == lease then redis.call('DEL', HELD) end
if holder and holder ~= lease then return { 404 } end

local turn = first_waiting()
if turn and turn ~= '' then
  local replica = string.match(redis.call('HGET', SEEN, turn), ' (.+)$')
  redis.call('RPUSH', WAKE .. replica, name .. ' ' .. turn)
  redis.call('LTRIM', WAKE .. replica, -1000, -1)
  redis.call('PEXPIRE', WAKE .. replica, 5000)
end
return { holder and 204 or 404 }
