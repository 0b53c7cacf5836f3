-- An outage is seen by Redis itself: a gap in `alive` means that nobody could renew, so every lease gets one ttl from
-- the return. Nobody has to remember a disconnect, and a frozen Redis (SIGSTOP), which no client notices, is covered.
local OUTAGE_MS = 3000

local function witness()
  local alive = tonumber(redis.call('GET', ALIVE) or '')
  if not alive or now - alive > OUTAGE_MS then redis.call('SET', GRACE, int(now)) end
  redis.call('SET', ALIVE, int(now))
end

-- When a lease ends. The same rule as `leaseEnd` in src/registry/lease.ts: change both or neither.
local graceFrom
local function lease_end(score, ttl)
  graceFrom = graceFrom or tonumber(redis.call('GET', GRACE) or 0)
  return math.max(score, graceFrom + ttl)
end
