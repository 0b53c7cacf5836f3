local LEASES, GROUPS, EVENTS, BEATS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local EPOCH, ALIVE, GRACE, SWEPT, HOLDS = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local SPEAKERS = KEYS[10] -- replicas that may be about to give back what was lost, by until when
local FACE, RECORD, MEMBERS = KEYS[11], KEYS[12], KEYS[13] -- stems: append an id, an id, or <type>:<group>
local SEED, EVENTS_MAX = ARGV[1], ARGV[2]
