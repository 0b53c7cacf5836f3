-- Who waits for a lock, in the order in which they came: QUEUE by that order, SEEN by lease until when it counts as waiting, and which replica it
-- waits at. A replica asks again for each every second, so who stopped asking is passed over.
local WAITING_MS = 3000
local LOOKED_AT = 100

-- The lease whose turn it is; '' when too many in front of it have gone to say that now.
local function first_waiting()
  for _ = 1, LOOKED_AT do
    local lease = redis.call('ZRANGE', QUEUE, 0, 0)[1]
    if not lease then return nil end
    local seen = redis.call('HGET', SEEN, lease)
    if seen and tonumber(string.match(seen, '^%d+')) > now then return lease end
    redis.call('ZREM', QUEUE, lease)
    redis.call('HDEL', SEEN, lease)
  end
  return ''
end

local function leave_queue(lease)
  redis.call('ZREM', QUEUE, lease)
  redis.call('HDEL', SEEN, lease)
end
