-- One entry per batch of renewals: `ids` (space separated) and, if any came, `performance`: as many lines, in the same
-- order, each JSON or empty. The entry's milliseconds are the renewals' time. No `prev` here: a reader that falls behind
-- the trim reloads all scores from the leases, so a gap needs no chain.
-- When the clock was set back behind the last entry, ids go on from there as fast as the clock does, so that trimming goes on too,
-- and `at` is the renewals' time.
local BEATS_KEPT_MS = 15000

local function append_beats(ids, performances, anyPerformance)
  if #ids == 0 then return end
  local entry = { 'ids', table.concat(ids, ' ') }
  if anyPerformance then
    entry[3] = 'performance'
    entry[4] = table.concat(performances, '\n')
  end
  local oldest = int(now - BEATS_KEPT_MS)
  local added = redis.pcall('XADD', BEATS, 'MINID', '~', oldest, int(now) .. '-*', unpack(entry))
  if type(added) ~= 'table' or not added.err then return end
  local last = redis.call('XREVRANGE', BEATS, '+', '-', 'COUNT', 1)[1]
  local ms = tonumber(string.match(last[1], '^%d+'))
  local at = last[2][1] == 'at' and tonumber(last[2][2]) or now
  local nextMs = ms + math.max(0, now - at)
  redis.call('XADD', BEATS, 'MINID', '~', int(nextMs - BEATS_KEPT_MS), int(nextMs) .. '-*', 'at', int(now), unpack(entry))
end
