#!lua flags=allow-oom
-- Compares members of one group's Set with the leases. A ghost (neither face nor lease) and an id that the registry
-- keeps elsewhere leave the Set; a hand-written face with a TTL is named to the caller, who validates and adopts it.
-- ARGV[3] '<type>:<group>'; ARGV[4..] ids, at most 200
-- Reply { removed count, id to adopt, … }
-- Events none
-- @include keys
local home = ARGV[3]
local removed, reply = 0, {}
for i = 4, #ARGV do
  local id = ARGV[i]
  if not redis.call('ZSCORE', LEASES, home .. ':' .. id) then
    local elsewhere = redis.call('EXISTS', RECORD .. id) == 1
    local face = redis.call('EXISTS', FACE .. id) == 1
    if not face or elsewhere then
      removed = removed + redis.call('SREM', MEMBERS .. home, id)
    elseif redis.call('PTTL', FACE .. id) > 0 then
      reply[#reply + 1] = id
    end
  end
end
if redis.call('SCARD', MEMBERS .. home) == 0 then redis.call('SREM', GROUPS, home) end
table.insert(reply, 1, removed)
return reply
