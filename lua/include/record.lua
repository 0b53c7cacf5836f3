-- A record and whether it is one. What somebody spoilt by hand counts as unknown: its server is told to register again,
-- and that mends it.
local function read_record(id)
  local flat = redis.pcall('HGETALL', RECORD .. id)
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if not (record.type and record.group) then return {}, false end
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

-- The face lives as long as the lease; the record three times as long, so that a departure can be told with it.
local function write_face(id, flat, ttl)
  redis.call('DEL', FACE .. id)
  redis.call('HSET', FACE .. id, unpack(flat))
  redis.call('PEXPIRE', FACE .. id, int(ttl))
end

local function write_instance(id, flat, ttl)
  write_face(id, flat, ttl)
  redis.call('DEL', RECORD .. id)
  redis.call('HSET', RECORD .. id, unpack(flat))
  redis.call('PEXPIRE', RECORD .. id, int(3 * ttl))
end

local function leave_group(home, id)
  redis.call('SREM', MEMBERS .. home, id)
  if redis.call('SCARD', MEMBERS .. home) == 0 then redis.call('SREM', GROUPS, home) end
end

-- Forgets an instance that has ended. Face and record go only where they are of this home: a member left behind by a
-- move must not take the living instance with it.
local function forget(id, home, record)
  leave_group(home, id)
  if not record.type or home_of(record) == home then redis.call('DEL', FACE .. id, RECORD .. id) end
end
