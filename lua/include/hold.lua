-- Mass lapse. When most of a group falls silent at once, it is more often the way to it that broke than all of its servers:
-- the group is held for one ttl, its members past their score stay listed as suspect, and nobody is evicted.
-- HOLDS, a Hash: '<type>:<group>' -> since, until, end of the cool-down (ms), how many were late, of how many members, and
-- 'held' or 'released'. The field '' says up to when lapses have been judged.
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
