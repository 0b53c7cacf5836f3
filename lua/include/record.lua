-- What somebody spoilt by hand is no record and counts as unknown: a replica that knows it gives it back, or its server is told
-- to register again. Without a length a lease would end in the moment of its next heartbeat.
local function is_record(record)
  local seconds = tonumber(record.ttlSeconds)
  return record.type and record.group and seconds and seconds > 0 and seconds < 1e9
end

-- A record and whether it is one.
local function read_record(id)
  local flat = redis.pcall('HGETALL', RECORD .. id)
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if not is_record(record) then return {}, false end
  return record, true
end

local function flatten(record)
  local flat = {}
  for field, value in pairs(record) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  return flat
end

local function home_of(record) return record.type .. ':' .. record.group end
local function ttl_of(record) return (tonumber(record.ttlSeconds) or 0) * 1000 end

-- The face lives as long as the lease. The record is what a heartbeat after an outage renews and what a departure tells, so
-- it must outlive any outage that grace forgives: its own end is only there to collect rubbish.
local RECORD_KEPT_MS = 24 * 3600 * 1000
local function kept_ms(ttl) return int(3 * ttl + RECORD_KEPT_MS) end

local function write_face(id, flat, ttl)
  redis.call('DEL', FACE .. id)
  redis.call('HSET', FACE .. id, unpack(flat))
  redis.call('PEXPIRE', FACE .. id, int(ttl))
end

local function write_instance(id, flat, ttl)
  write_face(id, flat, ttl)
  redis.call('DEL', RECORD .. id)
  redis.call('HSET', RECORD .. id, unpack(flat))
  redis.call('PEXPIRE', RECORD .. id, kept_ms(ttl))
end

-- A Set that somebody replaced by hand is dropped: reconcile writes it anew from the leases.
local function is_error(reply) return type(reply) == 'table' and reply.err ~= nil end
local function join_group(home, id)
  if is_error(redis.pcall('SADD', MEMBERS .. home, id)) then
    redis.call('DEL', MEMBERS .. home)
    redis.call('SADD', MEMBERS .. home, id)
  end
  redis.call('SADD', GROUPS, home)
end

local function leave_group(home, id)
  if is_error(redis.pcall('SREM', MEMBERS .. home, id)) then redis.call('DEL', MEMBERS .. home) end
  if redis.call('SCARD', MEMBERS .. home) == 0 then redis.call('SREM', GROUPS, home) end
end

-- Forgets an instance that has ended. Face and record go only where they are of this home: a member left behind by a
-- move must not take the living instance with it.
local function forget(id, home, record)
  leave_group(home, id)
  if not record.type or home_of(record) == home then redis.call('DEL', FACE .. id, RECORD .. id) end
end

local function same_labels(one, other) -- a merged patch is stored in no order
  local ok, a, b = pcall(function() return cjson.decode(one or '{}'), cjson.decode(other or '{}') end)
  if not ok then return false end
  for key, value in pairs(a) do if b[key] ~= value then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end
