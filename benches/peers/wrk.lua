-- wrk's side of a measurement: `wrk … -s wrk.lua URL -- METHOD BYTES [PAUSE]`. The request is made once; at the end one
-- line of JSON says what came of it, times in microseconds. PAUSE is how long each connection pauses before a request on
-- average, in milliseconds.

function init(arguments)
   wrk.method = arguments[1]
   local bytes = tonumber(arguments[2])
   if bytes > 0 then
      wrk.body = string.rep("x", bytes)
      wrk.headers["Content-Type"] = "application/octet-stream"
   end
   local pause = tonumber(arguments[3])
   if pause then
      function delay()
         return math.random(0, 2 * pause)
      end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "bytes": %d, "duration": %d, "p50": %d, "p99": %d, "status": %d, "broken": %d, "timeout": %d}\n',
      summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.status, errors.connect + errors.read + errors.write, errors.timeout
   ))
end
