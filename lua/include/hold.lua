-- Mass lapse. When most of a group falls silent at once, it is more often the way to it that broke than all of its servers:
-- the group is held for one ttl, its members past their score stay listed as suspect, and nobody is evicted.
-- HOLDS, a Hash: '<type>:<group>' -> since, until, end of the cool-down (ms), how many were late, of how many members, and
-- 'held' or 'released'. The field '' is the mark: up to which ms lapses have been judged; or, with more in one millisecond than
-- a call judges: that millisecond, how many of it have been judged, of how many.
local holds = {}

local function hold_of(home)
  if holds[home] == nil then
    local text = home ~= '' and redis.call('HGET', HOLDS, home) or ''
    local since, till, cool, late, members, state = string.match(text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%a+)$')
    holds[home] = since and {
      since = tonumber(since), till = tonumber(till), cool = tonumber(cool), late = late, members = members, state = state,
    } or false
  end
  return holds[home]
end

local function held_until(home)
  local hold = hold_of(home)
  return hold and hold.state == 'held' and hold.till or 0
end

local function write_hold(home, hold)
  holds[home] = hold
  local text = { int(hold.since), int(hold.till), int(hold.cool), hold.late, hold.members, hold.state }
  redis.call('HSET', HOLDS, home, table.concat(text, ' '))
end

local function mark_of_judging()
  local text = redis.call('HGET', HOLDS, '') or ''
  local ms, done, size = string.match(text, '^(%d+) (%d+) (%d+)$')
  return { ms = tonumber(ms or text) or 0, done = tonumber(done) or 0, size = tonumber(size) or 0 }
end

local function write_mark(mark)
  redis.call('HSET', HOLDS, '', mark.done == 0 and int(mark.ms) or int(mark.ms) .. ' ' .. int(mark.done) .. ' ' .. int(mark.size))
end

local function up_to(mark) return mark.done == 0 and mark.ms or mark.ms - 1 end

-- Every lapse up to this ms has been judged, so the hold of its group, if there is to be one, stands.
local function judged_up_to() return up_to(mark_of_judging()) end
