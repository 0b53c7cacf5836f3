local MAX_LABELS = 32

local function merge_labels(stored, patch)
  local ok, labels = pcall(cjson.decode, stored or '{}')
  if not ok then labels = {} end
  local changed, count = false, 0
  for key, value in pairs(cjson.decode(patch)) do
    if value == cjson.null then value = nil end
    if labels[key] ~= value then
      labels[key] = value
      changed = true
    end
  end
  for _ in pairs(labels) do count = count + 1 end
  if count > MAX_LABELS then return nil, 'labels' end
  return changed and (count > 0 and string.gsub(cjson.encode(labels), '\\/', '/') or '') or nil
end

-- What a patch would change of `record`. Absent parts are ''; customState is '=text' to set and '-' to clear, cordoned '1' or '0'.
-- Returns the fields as { field = value, '' to delete }, or nil and the part that is not acceptable.
local function changes_of(record, status, customState, labels, cordoned)
  local changes = {}
  if status ~= '' and status ~= record.status then changes.status = status end
  if customState ~= '' then
    local text = customState == '-' and '' or string.sub(customState, 2)
    if text ~= (record.customState or '') then changes.customState = text end
  end
  if labels ~= '' then
    local merged, refused = merge_labels(record.labels, labels)
    if refused then return nil, refused end
    changes.labels = merged
  end
  if cordoned ~= '' then
    local mark = cordoned == '1' and '1' or ''
    if mark ~= (record.cordoned or '') then changes.cordoned = mark end
  end
  return changes
end

-- Writes a patch that changes something, with its one event, and returns the new revision (nil if nothing changed).
-- The face is written only while it exists: a patch does not bring a lapsed one back.
local function write_changes(id, record, changes, cause, about)
  if not next(changes) then return nil end
  changes.updatedAt = iso(now)
  for field, value in pairs(changes) do
    record[field] = value ~= '' and value or nil
  end
  record.revision = append('updated', cause, about, flatten(record))
  changes.revision = record.revision
  for _, key in ipairs({ RECORD .. id, FACE .. id }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'hash' then
      redis.call('DEL', key) -- lapsed, or spoilt by hand: the next heartbeat writes it anew
    else
      for field, value in pairs(changes) do
        if value ~= '' then redis.call('HSET', key, field, value) else redis.call('HDEL', key, field) end
      end
    end
  end
  return record.revision
end
