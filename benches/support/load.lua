-- wrk's side of benches/http.rs: revocation requests, one for each line of a file.
--
-- After `--`: the file of tokens, 43 characters and a newline each, and the `Authorization` header. When the
-- file ends, tokens follow that nobody was issued. The file stays one string: a table of so many strings would
-- be work for the collector while the clock runs.

local WIDTH = 43
local TAIL = "&token_type_hint=access_token"

local tokens, head
local used = 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  tokens = file:read("*a")
  file:close()
  head = table.concat({
    "POST " .. wrk.path .. " HTTP/1.1",
    "Host: " .. wrk.host .. ":" .. wrk.port,
    "Authorization: " .. args[2],
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Length: " .. (#"token=" + WIDTH + #TAIL),
    "",
    "token=",
  }, "\r\n")
end

function request()
  local at = used * (WIDTH + 1)
  used = used + 1
  local token
  if at < #tokens then
    token = tokens:sub(at + 1, at + WIDTH)
  else
    token = string.format("%043d", used)
  end
  return head .. token .. TAIL
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("figures %d %d %d %d %d\n",
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
