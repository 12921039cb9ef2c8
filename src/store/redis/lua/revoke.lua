-- Writes one entry of the ledger, or moves its cutoff. KEYS: the shard, the entry, the feed, and the token's record where
-- the caller asks whether that was consumed. ARGV: id, cutoff (8 bytes), letter of the kind, what readers of the feed get, a
-- random epoch, when it is recorded, the longest that a record or a token without one may be kept from then on, how long something
-- may be in flight, and how far a clock is believed. Answers {1 if that is news, the record if its token was consumed or ''}.
local id, at, kind = ARGV[1], unpacked(ARGV[2], 1), ARGV[3]
local meta = redis.call('HMGET', KEYS[1], 'h', 't', 'l', 'epoch', 'j')
if not meta[4] then
  -- The data were lost, by FLUSHALL perhaps: readers of the feed are to notice.
  redis.call('HSET', KEYS[1], 'epoch', ARGV[5])
end
note(meta[2], meta[5], tonumber(ARGV[6]), tonumber(ARGV[9]))
local clock = redis.call('TIME')
clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- The rule of Lifetimes::entry_until. It counts from the latest clock that is known, however old the cutoff; or from that.
local recorded = math.max(tonumber(ARGV[6]), tonumber(meta[2]) or 0, clock, math.min(at, FAR))
-- Never less than the longest lifetime: this node may have lost what was announced, and the tokens are on others.
local till = math.max(tonumber(meta[1]) or 0, recorded + tonumber(ARGV[7])) + tonumber(ARGV[8])
till = math.min(till, FAR)

local known = redis.call('GETRANGE', KEYS[2], 0, 31)
local news = 0
-- The rule of covering::entry: a later cutoff moves an entry, unless its target is named once.
if known == '' or (not is_named_once(kind) and unpacked(known, 1) < at) then
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
  if known == '' then
    remind('e' .. id, till)
  else
    till = math.max(till, unpacked(known, 9))
    redis.call('XDEL', KEYS[3], string.format('%.0f-%.0f', unpacked(known, 17), unpacked(known, 25)))
  end
  local ttl = math.max(forgotten_last(till), redis.call('PEXPIRETIME', KEYS[2]))
  redis.call('SET', KEYS[2], ARGV[2] .. packed(till) .. packed(ms) .. packed(n) .. kind .. ARGV[4], 'PXAT', ttl)
  lasts(KEYS[3], ttl)
else
  keep(KEYS[2], till)
end

local consumed = ''
if KEYS[4] then
  local value = redis.call('GET', KEYS[4])
  if value and consumed_by(value) ~= UNCONSUMED then
    consumed = value
  end
end
return {news, consumed}
