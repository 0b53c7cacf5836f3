#!lua
-- Takes a lock that is free, or a place in its queue. With the same lease again it is the same attempt, however often.
-- ARGV[3..7] lease, owner, ttl in ms, '1' to wait or '', name of the replica that waits for it
-- Reply { 201, fencing token, its end in ms, ms left } | { 409, owner, end in ms of who holds it, ms left, how many come before }
-- Events none
-- @include lockkeys
-- @include clock
-- @include lockqueue
local lease, owner, ttl, waits, replica = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])

local held = redis.call('HMGET', HELD, 'lease', 'owner', 'token')
local left = math.max(redis.call('PTTL', HELD), 0)
if held[1] == lease then return { 201, held[3], int(now + left), int(left) } end

local turn = first_waiting()
if not held[1] and (not turn or turn == lease) then
  leave_queue(lease)
  -- It grows with time too, so a Redis that lost its data, or an older one after a failover, goes on behind what was given out before.
  local token = int(math.max(tonumber(redis.call('GET', FENCE) or 0) + 1, micros))
  redis.call('SET', FENCE, token)
  redis.call('HSET', HELD, 'lease', lease, 'owner', owner, 'token', token)
  redis.call('PEXPIRE', HELD, ttl)
  return { 201, token, int(now + tonumber(ttl)), ttl }
end

if waits == '1' then
  if not redis.call('ZSCORE', QUEUE, lease) then redis.call('ZADD', QUEUE, int(micros), lease) end
  redis.call('HSET', SEEN, lease, int(now + WAITING_MS) .. ' ' .. replica)
  redis.call('PEXPIRE', QUEUE, 2 * WAITING_MS)
  redis.call('PEXPIRE', SEEN, 2 * WAITING_MS)
end
return { 409, held[2] or '', int(now + left), int(left), redis.call('ZRANK', QUEUE, lease) or redis.call('ZCARD', QUEUE) }
