-- An outage is seen by Redis itself: a gap in `alive` means that nobody could renew, so every lease gets one ttl from
-- the return. Nobody has to remember a disconnect, and a frozen Redis (SIGSTOP), which no client notices, is covered.
local OUTAGE_MS = 3000
-- A shorter one may use up a short lease, and gives those one ttl; to longer leases it is less than a missed heartbeat, and a
-- replica that is now and then late for a second must not keep the dead of a fleet for ever.
local LULL_MS = 1000
local SHORT_LEASE_MS = 9000

-- Readers pulse with every read: writing each time would only be work for replicas and the append-only file.
local WITNESS_EVERY_MS = 250

local function alive_ago()
  local alive = tonumber(redis.call('GET', ALIVE) or '')
  return alive and now - alive or math.huge
end
local function outage_seen() return alive_ago() > OUTAGE_MS end

local function witness()
  local grace = tonumber(redis.call('GET', GRACE) or 0)
  local ago = alive_ago()
  -- A grace that lies ahead comes from a clock that was set back since: it would keep everybody for as long.
  if ago > OUTAGE_MS or grace > now then redis.call('SET', GRACE, int(now)) end
  if ago > LULL_MS then redis.call('HSET', EPOCH, 'lull', int(now)) end
  if ago >= WITNESS_EVERY_MS or ago < 0 then redis.call('SET', ALIVE, int(now)) end
  return ago < 0
end

-- When a lease ends. The same rule as `leaseEndMs` in src/registry/lease.ts: change both or neither.
-- In the moment between the return from an outage and its first witness, the grace is already in force.
local graceFrom, lullFrom
local function grace_from(ttl)
  graceFrom = graceFrom or (outage_seen() and now) or tonumber(redis.call('GET', GRACE) or 0)
  if ttl > SHORT_LEASE_MS then return graceFrom end
  lullFrom = lullFrom or (alive_ago() > LULL_MS and now) or tonumber(redis.call('HGET', EPOCH, 'lull') or 0)
  return math.max(graceFrom, lullFrom)
end

local function lease_end(score, ttl, home)
  return math.max(score, grace_from(ttl) + ttl, held_until(home))
end
