local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function int(number) return string.format('%.0f', number) end

-- ISO 8601 of Unix milliseconds. Redis' Lua has no os.date; days become a date as in Hinnant's "civil_from_days".
local written = {}
local function iso(ms)
  if written[ms] then return written[ms] end
  local seconds = math.floor(ms / 1000)
  local days = math.floor(seconds / 86400)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local dayOfEra = shifted - era * 146097
  local yearOfEra = math.floor((dayOfEra - math.floor(dayOfEra / 1460) + math.floor(dayOfEra / 36524) - math.floor(dayOfEra / 146096)) / 365)
  local dayOfYear = dayOfEra - (365 * yearOfEra + math.floor(yearOfEra / 4) - math.floor(yearOfEra / 100))
  local m = math.floor((5 * dayOfYear + 2) / 153)
  local day = dayOfYear - math.floor((153 * m + 2) / 5) + 1
  local month = m < 10 and m + 3 or m - 9
  local year = yearOfEra + era * 400 + (month <= 2 and 1 or 0)
  local rest = seconds - days * 86400
  written[ms] = string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day,
    math.floor(rest / 3600), math.floor(rest / 60) % 60, rest % 60, ms - seconds * 1000)
  return written[ms]
end
