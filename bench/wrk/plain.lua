-- A heartbeat without a body for one of POOL instances after the other.
local token, pool = os.getenv('TOKEN'), tonumber(os.getenv('POOL'))
local n = 0
local headers = { ['X-API-Token'] = token }
request = function()
  n = n + 1
  return wrk.format('POST', '/sd/v1/instances/pool-' .. (n % pool) .. '/heartbeat', headers)
end
done = function(summary) io.write('NON2XX ' .. summary.errors.status .. '\n') end
