#!lua flags=allow-oom
-- Brings one group's Set in line with the leases. A ghost (neither face nor lease) and an id that the registry keeps
-- elsewhere leave the Set; a leased one that is missing joins it; a record of this group whose lease was lost gets one
-- anew; a hand-written face with a TTL is named to the caller, who validates and adopts it.
-- ARGV[3] '<type>:<group>'; ARGV[4..] ids, at most 200: members of the Set, or of the leases
-- Reply { removed count, id to adopt, … }
-- Events none
-- @include keys
-- @include clock
-- @include record
local home = ARGV[3]

local function head_of(id) -- not the whole record: it may be large
  local got = redis.pcall('HMGET', RECORD .. id, 'type', 'group', 'ttlSeconds')
  return { type = got[1], group = got[2], ttlSeconds = got[3] }
end

local removed, leased, reply = 0, false, {}
for i = 4, #ARGV do
  local id = ARGV[i]
  if redis.call('ZSCORE', LEASES, home .. ':' .. id) then
    leased = true
    if redis.pcall('SISMEMBER', MEMBERS .. home, id) ~= 1 then join_group(home, id) end -- 0, or an error: not a Set
  else
    local record = head_of(id)
    local known = is_record(record)
    if known and home_of(record) == home then
      redis.call('ZADD', LEASES, int(now + ttl_of(record)), home .. ':' .. id)
    elseif known or redis.call('EXISTS', FACE .. id) == 0 then
      removed = removed + redis.call('SREM', MEMBERS .. home, id)
    elseif redis.call('PTTL', FACE .. id) > 0 then
      reply[#reply + 1] = id
    end
  end
end
if leased then
  redis.call('SADD', GROUPS, home)
elseif redis.call('SCARD', MEMBERS .. home) == 0 then
  redis.call('SREM', GROUPS, home)
end
table.insert(reply, 1, removed)
return reply
