-- What a caller was refused must not be written later, over what came since: a write says until when it may be made, in ms of this
-- clock; 0 for ever. The refusal says what time it is, for a caller that has the clock wrong.
local NOT_AFTER = tonumber(ARGV[3])
if NOT_AFTER > 0 and now > NOT_AFTER then return redis.error_reply('LATE ' .. int(now)) end
