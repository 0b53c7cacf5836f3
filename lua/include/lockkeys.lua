local HELD, QUEUE, SEEN, FENCE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local WAKE = KEYS[5] -- a stem: append the name of a replica
