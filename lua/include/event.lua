-- The epoch names one unbroken life of the data. Whoever meets Redis first after it was emptied founds a new one, and so does
-- a replica that finds changes missing (claim.lua).
-- Its Hash also holds the id of the last event, for reading the stream's last entry would read a whole record, and how large
-- entries are on average, for the cap of the stream. And `from`, the last entry before the epoch ('' for none): what stands behind
-- that is of this epoch, whatever clock its ids are from. And `floor`, the latest entry that a replica knows of an earlier life: ids go on
-- behind it, or after a loss under a clock that was set back an old word would be the later one of two.
local epochId, head, meanBytes, floor

local function last_entry()
  local last = redis.call('XREVRANGE', EVENTS, '+', '-', 'COUNT', 1)[1]
  return last and last[1] or ''
end

local function found_epoch()
  epochId, head = int(now) .. 'x' .. SEED, last_entry()
  redis.call('HDEL', EPOCH, 'freshest', 'whole')
  redis.call('DEL', SPEAKERS)
  redis.call('HSET', EPOCH, 'id', epochId, 'at', int(now), 'head', head, 'from', head)
end

local function epoch()
  if not epochId then
    local known = redis.call('HMGET', EPOCH, 'id', 'head', 'bytes', 'floor')
    epochId, head, meanBytes, floor = known[1], known[2] or '', tonumber(known[3] or ''), known[4] or ''
    if not epochId then found_epoch() end
  end
  return epochId
end

-- Before anything is taken away: a log that somebody spoilt by hand takes no event, and a script that fails midway is not undone.
local function insist_on_log()
  local kind = redis.call('TYPE', EVENTS).ok
  if kind ~= 'stream' and kind ~= 'none' then error('WRONGTYPE ' .. EVENTS .. ' is a ' .. kind .. ' and no stream: delete it') end
end

local function order_of(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return ms and { tonumber(ms), tonumber(seq) } or { 0, 0 }
end
local function before(one, other) return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2]) end

local function note_floor(id)
  epoch()
  if not before(order_of(floor or ''), order_of(id)) then return end
  floor = id
  redis.call('HSET', EPOCH, 'floor', id)
end

-- Entry ids are minted here: Redis milliseconds, never less than the last, and a random low part, so that an id is an
-- identity: two primaries of a split never mint the same one.
local function next_id()
  local last = floor and before(order_of(head), order_of(floor)) and floor or head
  local ms, seq = string.match(last, '^(%d+)-(%d+)$')
  if ms and tonumber(ms) >= now then return ms .. '-' .. int(tonumber(seq) + 1) end
  return int(now) .. '-' .. SEED
end

-- EVENTS_MAX counts entries of up to ENTRY_BYTES; of larger ones so many fewer are kept. Else a few servers with large records that
-- change all the time would fill the store.
local ENTRY_BYTES = 1536
local KEPT_AT_LEAST = 100
local AVERAGED_OVER = 500
local function kept_of(entry)
  local bytes = 0
  for _, text in ipairs(entry) do bytes = bytes + #text end
  meanBytes = meanBytes and meanBytes + (bytes - meanBytes) / AVERAGED_OVER or bytes
  local max = tonumber(EVENTS_MAX)
  return int(math.max(math.min(max, KEPT_AT_LEAST), math.floor(max * math.min(1, ENTRY_BYTES / meanBytes))))
end

-- Appends one event and returns its revision. `about` is { field, value, … } of the event itself (by, replaces, …), `flat`
-- the record as { field, value, … }. Each entry names the one before it in `prev`.
local function append(kind, cause, about, flat)
  epoch()
  local entry = { 'kind', kind, 'cause', cause, 'prev', head }
  for i = 1, #about, 2 do
    if about[i + 1] ~= '' then
      entry[#entry + 1] = about[i]
      entry[#entry + 1] = about[i + 1]
    end
  end
  for i = 1, #flat, 2 do
    if flat[i] ~= 'revision' then -- of the change before: this entry's own id is the new one
      entry[#entry + 1] = flat[i]
      entry[#entry + 1] = flat[i + 1]
    end
  end
  local id, kept = next_id(), kept_of(entry)
  local added = redis.pcall('XADD', EVENTS, 'MAXLEN', '~', kept, id, unpack(entry))
  if type(added) == 'table' and added.err then
    -- Somebody else wrote to the stream, or lost the Hash: go on behind its true end.
    head = last_entry()
    entry[6] = head
    id = next_id()
    redis.call('XADD', EVENTS, 'MAXLEN', '~', kept, id, unpack(entry))
  end
  head = id
  redis.call('HSET', EPOCH, 'head', id, 'bytes', int(meanBytes))
  return epochId .. '.' .. id
end
