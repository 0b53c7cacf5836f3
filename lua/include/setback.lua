-- The clock of Redis was set back: what was written before lies ahead by as much, and would keep the dead for as long. Each pulse
-- looks at some of the leases, until all have been cut to what they can be. The field ':setback' of HOLDS says how far it came.
local SETBACK = ':setback'
local LEASES_AT_ONCE = 250

local function begin_cut()
  redis.call('HSET', HOLDS, SETBACK, '0')
  if tonumber(redis.call('HGET', EPOCH, 'at') or 0) > now then redis.call('HSET', EPOCH, 'at', int(now)) end
  if tonumber(redis.call('HGET', EPOCH, 'lull') or 0) > now then redis.call('HSET', EPOCH, 'lull', int(now)) end
  redis.call('SET', SWEPT, int(now))
end

local function go_on_cutting()
  local cursor = redis.call('HGET', HOLDS, SETBACK)
  if not cursor then return end
  local page = redis.call('ZSCAN', LEASES, cursor, 'COUNT', LEASES_AT_ONCE)
  local found = page[2]
  for i = 1, #found, 2 do
    if tonumber(found[i + 1]) > now then
      local ttl = ttl_by_record(string.match(found[i], '([^:]*)$'))
      if ttl > 0 and tonumber(found[i + 1]) > now + ttl then redis.call('ZADD', LEASES, int(now + ttl), found[i]) end
    end
  end
  if page[1] == '0' then redis.call('HDEL', HOLDS, SETBACK) else redis.call('HSET', HOLDS, SETBACK, page[1]) end
end
