-- The same few requests over and over, written down once: PATHS (one a line), with IF_NONE_MATCH if that is set.
local requests, n = {}, 0
function init()
  local headers = { ['X-API-Token'] = os.getenv('TOKEN') }
  if os.getenv('IF_NONE_MATCH') then headers['If-None-Match'] = os.getenv('IF_NONE_MATCH') end
  for path in string.gmatch(os.getenv('PATHS'), '[^\n]+') do
    requests[#requests + 1] = wrk.format(os.getenv('METHOD') or 'GET', path, headers)
  end
end
request = function()
  n = n + 1
  return requests[n % #requests + 1]
end
done = function(summary, latency) io.write('NON2XX ' .. summary.errors.status .. ' P99 ' .. latency:percentile(99) .. '\n') end
