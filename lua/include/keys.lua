local LEASES, GROUPS, EVENTS, BEATS, EPOCH, ALIVE, GRACE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local FACE, RECORD, MEMBERS = KEYS[8], KEYS[9], KEYS[10] -- stems: append an id, an id, or <type>:<group>
local SEED, EVENTS_MAX = ARGV[1], ARGV[2]
