-- One entry per batch of renewals: `ids` (space separated) and, if any came, `performance`: as many lines, in the same
-- order, each JSON or empty. The entry's milliseconds are the renewals' time. No `prev` here: a reader that falls behind
-- the trim reloads all scores from the leases, so a gap needs no chain.
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
  -- Refused only when the clock stepped back behind the last entry: then directly after that one.
  if type(added) == 'table' and added.err then redis.call('XADD', BEATS, 'MINID', '~', oldest, '*', unpack(entry)) end
end
