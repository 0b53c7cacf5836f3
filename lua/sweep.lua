#!lua flags=allow-oom
-- Evicts candidates whose lease has ended. At most 100 a call: the script blocks Redis while it runs.
-- ARGV[3..4] the caller's epoch, and the last entry that it has read; '' for a caller without a view. A log that does not have it
--   has gone back: until the replicas have given back what is missing, nobody is evicted on its word
-- ARGV[5..] candidates '<type>:<group>:<id>', read by the caller before: each is checked again here
-- Reply { how many of them were looked at: large records fill a call earlier; of these, how many stay for a hold, and how many
--   were re-scored; evicted '<type>:<group>:<id>', … }
-- Events expired, once per departure: only the run whose own ZREM removed the lease writes it, so a job that runs twice,
--   or a worker that wakes up late, does nothing more
-- @include keys
-- @include clock
-- @include hold
-- @include grace
-- @include record
-- @include event
witness()
local knownEpoch, position = ARGV[3], ARGV[4]
if knownEpoch ~= '' then
  local goesOn = epoch() == knownEpoch and (position == '' or position == head or #redis.call('XRANGE', EVENTS, position, position) > 0)
  if not goesOn then return { #ARGV - 4, 0, 0 } end
end

local BYTES_AT_ONCE = 500000 -- of records told
local held, rescored, told, reply = 0, 0, 0, {}
local judged = judged_up_to()

local function tell(record, ends)
  local flat = flatten(record)
  for _, text in ipairs(flat) do told = told + #text end
  append('expired', 'lease', { 'deadline', iso(ends) }, flat)
end

local function evict(member)
  local score = tonumber(redis.call('ZSCORE', LEASES, member) or '')
  if score and score <= now and score <= judged then
    local home, id = string.match(member, '^([^:]*:[^:]*):(.*)$')
    if not home then home, id = ':', '' end -- written by hand: it names nothing, and only has to go
    local record = read_record(id)
    local ends = lease_end(score, ttl_of(record), home)
    local graced = lease_end(score, ttl_of(record), '')
    if graced > now then
      redis.call('ZADD', LEASES, int(graced), member) -- later by grace: out of the way of the next batch
      rescored = rescored + 1
    elseif ends > now then
      held = held + 1 -- its score stays: that it is past it is what makes it suspect
    elseif redis.call('ZREM', LEASES, member) == 1 then
      local mine = record.type and home_of(record) == home
      forget(id, home, record)
      local kind, group = string.match(home, '^(.*):(.*)$')
      local last = mine and record or { instanceId = id, type = kind, group = group }
      local livesElsewhere = record.type and not mine
      if id ~= '' and not livesElsewhere then tell(last, ends) end
      reply[#reply + 1] = member
    end
  end
end

insist_on_log()
local at = 5
while at <= #ARGV and told < BYTES_AT_ONCE do
  pcall(evict, ARGV[at]) -- one that fails must not keep the others
  at = at + 1
end
for _, count in ipairs({ rescored, held, at - 5 }) do table.insert(reply, 1, count) end
return reply
