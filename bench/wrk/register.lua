-- A new instance with every request; the token comes from the environment.
local token, run = os.getenv('TOKEN'), os.getenv('RUN')
local n = 0
local headers = { ['X-API-Token'] = token, ['Content-Type'] = 'application/json' }
request = function()
  n = n + 1
  local body = '{"instanceId":"' .. run .. '-' .. n .. '","type":"game","group":"kr-' .. (n % 50)
    .. '","hostname":"game-' .. n .. '.example.com","publicIp":"203.0.113.7","privateIp":"10.0.4.17",'
    .. '"ports":[{"port":7777,"name":"game","protocol":"udp"}],"systemInfo":{"cpu":"EPYC","memoryMb":65536,"os":"linux"},'
    .. '"performance":{"tps":59.9,"latencyMs":12,"load":0.4}}'
  return wrk.format('POST', '/sd/v1/instances', headers, body)
end
done = function(summary) io.write('NON2XX ' .. summary.errors.status .. '\n') end
