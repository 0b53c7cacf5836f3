-- Decides on holds: when a lease lapses in a group of which more than half, and at least five, have a third of their lease or
-- less left. Every pulse judges the lapses since the last, before a reader's watermark can pass them, so a member of a held
-- group is never missing for a moment.
local LATE_AT_LEAST = 5
local LAPSES_AT_ONCE = 500
local MEMBERS_AT_ONCE = 1000 -- looked at in one call: the script blocks Redis while it runs
-- A grace gives everybody a new end at once, so who did not come back lapses together: that is no surprise worth a hold.
local TTLS_AFTER_GRACE = 3

local function tell_hold(kind, cause, by, home, hold)
  local group = { string.match(home, '^(.*):(.*)$') }
  local about = { 'by', by, 'since', iso(hold.since), 'until', iso(hold.till), 'late', hold.late, 'members', hold.members }
  append(kind, cause, about, { 'type', group[1], 'group', group[2] })
end

-- How many of a group are late, of how many, and its longest ttl.
local function lateness(home, ids)
  local late, members, longest = 0, 0, 0
  for _, id in ipairs(ids) do
    local score = tonumber(redis.call('ZSCORE', LEASES, home .. ':' .. id) or '')
    if score then
      local ttl = (tonumber(redis.pcall('HGET', RECORD .. id, 'ttlSeconds')) or 0) * 1000
      members, longest = members + 1, math.max(longest, ttl)
      if 3 * (score - now) <= ttl then late = late + 1 end
    end
  end
  return late, members, longest
end

-- Returns how many members it looked at.
local function judge(home, ttl)
  local hold = hold_of(home)
  if hold and now < hold.cool then return 0 end
  if now <= grace_from() + TTLS_AFTER_GRACE * ttl then return 0 end
  local size = redis.pcall('SCARD', MEMBERS .. home)
  if type(size) == 'table' or size < LATE_AT_LEAST then return 0 end
  -- Fewer late in all groups together than it takes in this one: nothing to look at, as nearly always.
  if redis.call('ZCOUNT', LEASES, '-inf', int(now + ttl / 3)) < math.max(LATE_AT_LEAST, size / 2) then return 0 end
  local late, members, longest = lateness(home, redis.call('SMEMBERS', MEMBERS .. home))
  if late >= LATE_AT_LEAST and 2 * late > members then
    hold = { since = now, till = now + longest, cool = now + 2 * longest, late = int(late), members = int(members), state = 'held' }
    write_hold(home, hold)
    tell_hold('held', 'mass-lapse', '', home, hold)
  end
  return size
end

local function judge_lapses()
  local judged = tonumber(redis.call('HGET', HOLDS, '') or 0)
  if judged > now then judged = 0 end -- the clock was set back
  local lapsed = redis.call('ZRANGEBYSCORE', LEASES, '(' .. int(judged), int(now), 'WITHSCORES', 'LIMIT', 0, LAPSES_AT_ONCE)
  if #lapsed == 0 then return end
  local seen, looked, upTo = {}, 0, now
  if #lapsed == 2 * LAPSES_AT_ONCE then -- of the last millisecond there may be more
    upTo = tonumber(lapsed[#lapsed]) - 1
    if tonumber(lapsed[2]) > upTo then
      upTo = upTo + 1
      lapsed = redis.call('ZRANGEBYSCORE', LEASES, int(upTo), int(upTo), 'WITHSCORES')
    end
  end
  for i = 1, #lapsed, 2 do
    local home, id = string.match(lapsed[i], '^([^:]*:[^:]*):(.*)$')
    if home and not seen[home] then
      seen[home] = true
      looked = looked + judge(home, (tonumber(redis.pcall('HGET', RECORD .. id, 'ttlSeconds')) or 0) * 1000)
      if looked > MEMBERS_AT_ONCE and i + 2 <= #lapsed then
        upTo = tonumber(lapsed[i + 1]) - 1 -- those that are held by now cost nothing the next time
        break
      end
    end
  end
  redis.call('HSET', HOLDS, '', int(upTo))
end

-- Ends holds whose time is over, once, and forgets them after their cool-down.
local function release_holds()
  local all = redis.call('HGETALL', HOLDS)
  for i = 1, #all, 2 do
    local home = all[i]
    local hold = hold_of(home)
    if hold and hold.state == 'held' and now >= hold.till then
      hold.state = 'released'
      write_hold(home, hold)
      tell_hold('released', 'time', '', home, hold)
    elseif home ~= '' and not (hold and now < hold.cool) then
      redis.call('HDEL', HOLDS, home)
    end
  end
end
