-- The epoch names one unbroken life of the data. Whoever meets Redis first after it was emptied founds a new one.
local function epoch()
  local id = redis.call('HGET', EPOCH, 'id')
  if not id then
    id = int(now) .. 'x' .. SEED
    redis.call('HSET', EPOCH, 'id', id, 'at', int(now))
  end
  return id
end

-- Entry ids are minted here: Redis milliseconds, never less than the last, and a random low part, so that an id is an
-- identity: two primaries of a split never mint the same one. Each entry names the one before it in `prev`.
local head
local function next_id()
  if not head then
    local last = redis.call('XREVRANGE', EVENTS, '+', '-', 'COUNT', 1)[1]
    head = last and last[1] or ''
  end
  local ms, seq = string.match(head, '^(%d+)-(%d+)$')
  if ms and tonumber(ms) >= now then return ms .. '-' .. int(tonumber(seq) + 1) end
  return int(now) .. '-' .. SEED
end

-- Appends one event and returns its revision; `about` is { field, value, … } of the event itself (by, replaces, …).
local function append(kind, cause, about, record)
  local id = next_id()
  local entry = { kind = kind, cause = cause, prev = head }
  for field, value in pairs(record) do entry[field] = value end
  entry.revision = nil -- of the change before: this entry's own id is the new one
  for i = 1, #about, 2 do
    if about[i + 1] ~= '' then entry[about[i]] = about[i + 1] end
  end
  redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_MAX, id, unpack(flatten(entry)))
  head = id
  return epoch() .. '.' .. id
end
