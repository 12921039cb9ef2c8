-- What every script begins with. KEYS[1] is the shard's own record, `{prefix:namespace:shard/shards}m`; every other key of the
-- script carries the same hash tag, so that all of them are in one slot. Behind the tag one letter says what it is:
--   m  hash: h: the horizon; t, j: the clock of the sweeps; d: the open logins; f: the last place swept; l: the last place
--      written; epoch
--   t  token record, e  entry of the ledger, s  session, g  grant record: strings, with a head of fixed places
--   x  stream: the feed
--   q  list: tokens and sessions that fall due within one WIDTH of time; Q  sorted set: which of those lists there are
--   r  list, R  sorted set: the same for entries and grant records, which outlive them
-- Instants are milliseconds since 1970. Numbers in heads are big endian.
local tag = string.sub(KEYS[1], 1, -2)
local MARGIN = 86400000 -- how much later than due Redis itself forgets
local SKEW = 600000 -- how far apart the clocks of several nodes may be
local WIDTH = 600000
local FAR = 9000000000000000 -- below 2^53: doubles are exact up to here

local function unpacked(value, from)
  return (struct.unpack('>I8', value, from))
end

local function packed(number)
  return struct.pack('>I8', math.min(number, FAR))
end

-- The rule of rules::is_due: "never" is never over.
local function is_due(needed_until, now)
  return needed_until <= now and needed_until < FAR
end

-- When Redis itself may forget a record that is kept until then.
local function forgotten(kept)
  return math.min(kept + MARGIN, FAR)
end

-- The same for what outlives records, which may be on nodes with other clocks.
local function forgotten_last(kept)
  return math.min(kept + MARGIN + SKEW, FAR)
end

-- Lets a key live until `ttl` at least.
local function lasts(key, ttl)
  if redis.call('PEXPIRETIME', key) < ttl then
    redis.call('PEXPIREAT', key, ttl)
  end
end

-- Has a sweep look at `member` once `due` has passed. An instant that has moved since is seen to then.
local function remind(member, due)
  local kind = string.sub(member, 1, 1)
  local lists, set = 'r', 'R'
  if kind == 't' or kind == 's' then
    lists, set = 'q', 'Q'
  end
  local slice = math.ceil(due / WIDTH)
  local name = string.format('%.0f', slice)
  local list = tag .. lists .. name
  if redis.call('RPUSH', list, member) == 1 then
    local ttl = math.min(slice * WIDTH, FAR) + 2 * MARGIN
    redis.call('PEXPIREAT', list, ttl)
    redis.call('ZADD', tag .. set, slice, name)
    lasts(tag .. set, ttl)
  end
end

-- The rule of SweepClock::note. t: the latest time that was seen, by a minute at least, and never by a leap. j: what the clock
-- showed when it was first found ahead; a clock that is not ahead contradicts it.
local function note(latest, leaped_to, now, leap)
  latest = tonumber(latest) or 0
  if now == 0 or (latest > 0 and now > latest + leap) then
    return
  end
  if now >= latest + 60000 then
    redis.call('HSET', KEYS[1], 't', now)
  end
  if leaped_to then
    redis.call('HDEL', KEYS[1], 'j')
  end
end
