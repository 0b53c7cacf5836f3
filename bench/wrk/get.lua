done = function(summary) io.write('NON2XX ' .. summary.errors.status .. '\n') end
