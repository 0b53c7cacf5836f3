-- A heartbeat for one of POOL instances after the other, with fresh performance.
local token, pool = os.getenv('TOKEN'), tonumber(os.getenv('POOL'))
local n = 0
local headers = { ['X-API-Token'] = token, ['Content-Type'] = 'application/json' }
request = function()
  n = n + 1
  return wrk.format('POST', '/sd/v1/instances/pool-' .. (n % pool) .. '/heartbeat', headers, '{"performance":{"tps":' .. (n % 60) .. ',"latencyMs":12,"load":0.4}}')
end
done = function(summary) io.write('NON2XX ' .. summary.errors.status .. '\n') end
