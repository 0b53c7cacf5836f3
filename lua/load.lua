#!lua flags=no-writes
-- Records of leases as one JSON text, for a replica that reads the whole registry: to take a hundred replies apart costs it several times as much.
-- ARGV[3] names of fields, with a blank between them; ARGV[4..] per lease: `<type>:<group>:<id>`, and the id of the entry that the content
--   is from which the caller has ('' for none)
-- Reply JSON, an array per lease, of as many leases as make 256 KB, and of one at least: end of the lease in ms, revision, value of each
--   field or false. Of content that the caller has: end, revision, lastHeartbeat, performance. [false] where there is no lease or no record
-- Events none
-- @include keys
local BYTES_AT_MOST = 256 * 1024
local names = { 'revision' }
for name in string.gmatch(ARGV[3], '%S+') do names[#names + 1] = name end

local NONE = { false } -- an empty table would be written as an object
local bytes = 0
local function read(member, known)
  local score = redis.call('ZSCORE', LEASES, member)
  if not score then return NONE end
  local record = RECORD .. string.match(member, '[^:]*$')
  local got
  if known ~= '' then
    got = redis.pcall('HMGET', record, 'revision', 'lastHeartbeat', 'performance')
    if got.err or not got[1] or string.match(got[1], '%.(.*)$') ~= known then got = nil end
  end
  got = got or redis.pcall('HMGET', record, unpack(names))
  if got.err then return NONE end -- a key of another type, written by hand, is no record
  for i = #got, 1, -1 do
    bytes = bytes + (got[i] and #got[i] or 0)
    got[i + 1] = got[i]
  end
  got[1] = score
  return got
end

local records = {}
for i = 4, #ARGV, 2 do
  records[#records + 1] = read(ARGV[i], ARGV[i + 1])
  if bytes > BYTES_AT_MOST then break end
end
return cjson.encode(records)
