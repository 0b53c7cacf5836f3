-- Decides on holds: when a lease lapses in a group of which more than half, and at least five, have a third of their lease or
-- less left. Every pulse judges lapses in the order of their ends, as many as it has time for, and notes how far it came: no
-- watermark passes that and no sweep (judged_up_to in hold.lua), so a member of a group that will be held is never missing.
local LATE_AT_LEAST = 5
-- What one call looks at: the script blocks Redis while it runs.
local LAPSES_AT_ONCE = 1000
local MEMBERS_AT_ONCE = 1000
local GROUP_COSTS = 6 -- as much as so many members
-- A group of more than MEMBERS_AT_ONCE is judged by so many of its members, taken by chance. More than 45 of 100 of them are taken
-- for more than half of all, so a group that lost half is not overlooked; one that lost less than 35 of 100 is not held.
local SAMPLE = 400
-- A grace gives everybody a new end at once, so who did not come back lapses together: that is no surprise worth a hold.
local TTLS_AFTER_GRACE = 3

local function tell_hold(kind, cause, by, home, hold)
  local group = { string.match(home, '^(.*):(.*)$') }
  local about = { 'by', by, 'since', iso(hold.since), 'until', iso(hold.till), 'late', hold.late, 'members', hold.members }
  append(kind, cause, about, { 'type', group[1], 'group', group[2] })
end

local function ttl_by_record(id) return (tonumber(redis.pcall('HGET', RECORD .. id, 'ttlSeconds')) or 0) * 1000 end

-- How many of these members are late, how many of them have a lease, and the longest ttl.
local function lateness(home, ids)
  local late, leased, longest, members = 0, 0, 0, {}
  for i, id in ipairs(ids) do members[i] = home .. ':' .. id end
  for i, text in ipairs(redis.call('ZMSCORE', LEASES, unpack(members))) do
    local score = tonumber(text or '')
    if score then
      local ttl = ttl_by_record(ids[i])
      leased, longest = leased + 1, math.max(longest, ttl)
      if 3 * (score - now) <= ttl then late = late + 1 end
    end
  end
  return late, leased, longest
end

-- Returns how many members it looked at; nil, and does nothing, when that would be more than there is room for.
local function judge(home, ttl, room)
  local hold = hold_of(home)
  if hold and now < hold.cool then return 0 end
  if now <= grace_from(ttl) + TTLS_AFTER_GRACE * ttl then return 0 end
  local size = redis.pcall('SCARD', MEMBERS .. home)
  if type(size) == 'table' or size < LATE_AT_LEAST then return 0 end
  -- Fewer late in all groups together than it takes in this one: nothing to look at, as nearly always.
  if redis.call('ZCOUNT', LEASES, '-inf', int(now + ttl / 3)) < math.max(LATE_AT_LEAST, size * 0.45) then return 0 end
  local whole = size <= MEMBERS_AT_ONCE
  if (whole and size or SAMPLE) > room then return nil end
  local ids = whole and redis.call('SMEMBERS', MEMBERS .. home) or redis.call('SRANDMEMBER', MEMBERS .. home, SAMPLE)
  local late, leased, longest = lateness(home, ids)
  if late >= LATE_AT_LEAST and late > leased * (whole and 0.5 or 0.45) then
    local all = whole and leased or size
    hold = { since = now, till = now + longest, cool = now + 2 * longest, late = int(late / leased * all), members = int(all), state = 'held' }
    write_hold(home, hold)
    tell_hold('held', 'mass-lapse', '', home, hold)
  end
  return #ids
end

-- The lapses behind the mark, as member, score, …; and the rank of the first of them.
local function lapses_behind(mark)
  if mark.done == 0 then
    return redis.call('ZRANGEBYSCORE', LEASES, '(' .. int(mark.ms), int(now), 'WITHSCORES', 'LIMIT', 0, LAPSES_AT_ONCE)
  end
  -- Some of the millisecond were judged. Who has left it since may have been among them or not: then some are judged twice.
  local left = mark.size - redis.call('ZCOUNT', LEASES, int(mark.ms), int(mark.ms))
  local first = redis.call('ZCOUNT', LEASES, '-inf', '(' .. int(mark.ms)) + math.max(0, mark.done - math.max(0, left))
  local found = redis.call('ZRANGE', LEASES, first, first + LAPSES_AT_ONCE - 1, 'WITHSCORES')
  while #found > 0 and tonumber(found[#found]) > now do found[#found], found[#found - 1] = nil, nil end
  return found, first
end

-- Judges lapses, notes how far it came, and returns up to when all are judged.
local function judge_lapses()
  local mark = mark_of_judging()
  if mark.ms > now then -- the clock was set back, and all up to now were judged before
    mark = { ms = now, done = 0, size = 0 }
    write_mark(mark)
  end
  local lapsed, first = lapses_behind(mark)
  if #lapsed == 0 then
    if mark.done > 0 then write_mark({ ms = now, done = 0, size = 0 }) end
    return now
  end
  local seen, looked, passed = {}, 0, 0
  for i = 1, #lapsed, 2 do
    local home, id = string.match(lapsed[i], '^([^:]*:[^:]*):(.*)$')
    if home and not seen[home] then
      local cost = looked < MEMBERS_AT_ONCE and judge(home, ttl_by_record(id), MEMBERS_AT_ONCE - looked)
      if not cost then break end -- the rest is the next call's
      seen[home], looked = true, looked + GROUP_COSTS + cost
    end
    passed = passed + 1
  end
  first = first or redis.call('ZCOUNT', LEASES, '-inf', int(mark.ms))
  local rest = redis.call('ZRANGE', LEASES, first + passed, first + passed, 'WITHSCORES')[2]
  rest = rest and math.floor(tonumber(rest))
  if not rest or rest > now then
    mark = { ms = now, done = 0, size = 0 }
  else
    mark = { ms = rest, done = first + passed - redis.call('ZCOUNT', LEASES, '-inf', '(' .. int(rest)), size = redis.call('ZCOUNT', LEASES, int(rest), int(rest)) }
    if mark.done <= 0 then mark = { ms = rest - 1, done = 0, size = 0 } end
  end
  write_mark(mark)
  return up_to(mark)
end
