-- Writes one entry of the ledger, or moves its cutoff. KEYS: the shard, the entry, the feed, and the token's record where
-- the caller wants to know whether that was consumed. ARGV: id, cutoff (8 bytes), '1' if a later cutoff moves it, what
-- readers of the feed are told, a random epoch, the longest lifetime of tokens, and for how long they are remembered after
-- it. Answers {1 if that is news, the record if its token was consumed or ''}.
local id, at = ARGV[1], unpacked(ARGV[2], 1)
local meta = redis.call('HMGET', KEYS[1], 'h', 'z', 'l', 'epoch')
if not meta[4] then
  -- The data were lost, by FLUSHALL perhaps: readers of the feed are to notice.
  redis.call('HSET', KEYS[1], 'epoch', ARGV[5])
end
local clock = redis.call('TIME')
clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- Never less than the longest lifetime: this node may have lost what was announced, and the tokens are on others.
local longest, kept = tonumber(ARGV[6]), tonumber(ARGV[7])
local till = math.min(math.max(tonumber(meta[1]) or 0, math.max(at, clock) + longest) + FLIGHT, FAR)
local ttl = math.min(math.max(tonumber(meta[2]) or 0, till + kept + MARGIN) + FLIGHT, FAR)

local known = redis.call('GETRANGE', KEYS[2], 0, 31)
local news = 0
if known == '' or (ARGV[3] == '1' and unpacked(known, 1) < at) then
  news = 1
  -- Not Redis' own '*': that could go back, were the feed empty and the clock set back.
  local last_ms, last_n = string.match(meta[3] or '0-0', '^(%d+)-(%d+)$')
  local ms, n = clock, 0
  if tonumber(last_ms) >= clock then
    ms, n = tonumber(last_ms), tonumber(last_n) + 1
  end
  local place = string.format('%.0f-%.0f', ms, n)
  redis.call('HSET', KEYS[1], 'l', place)
  redis.call('XADD', KEYS[3], place, 'e', id)
  lasts(KEYS[3], ttl)
  if known == '' then
    remind('e' .. id, till)
  else
    till = math.max(till, unpacked(known, 9))
    ttl = math.max(ttl, redis.call('PEXPIRETIME', KEYS[2]))
    redis.call('XDEL', KEYS[3], string.format('%.0f-%.0f', unpacked(known, 17), unpacked(known, 25)))
  end
  redis.call('SET', KEYS[2], ARGV[2] .. packed(till) .. packed(ms) .. packed(n) .. ARGV[4], 'PXAT', ttl)
else
  if till > unpacked(known, 9) then
    redis.call('SETRANGE', KEYS[2], 8, packed(till))
  end
  lasts(KEYS[2], ttl)
  lasts(KEYS[3], ttl)
end

local consumed = ''
if KEYS[4] then
  local value = redis.call('GET', KEYS[4])
  if value and consumed_by(value) ~= UNCONSUMED then
    consumed = value
  end
end
return {news, consumed}
