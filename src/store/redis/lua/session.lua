-- Opens a session, or replaces what is known of it. KEYS: the shard, the session, the entry that logs it out.
-- ARGV: id, what the caller takes it to be ('' for unknown), what it shall be, expiry, instant at which Redis forgets it.
-- Answers {what came of it, what is known}. A session: due (8 bytes), and then what only the caller reads.
local known = redis.call('GET', KEYS[2]) or ''
raise(tonumber(ARGV[4]), tonumber(ARGV[5]))
if redis.call('EXISTS', KEYS[3]) == 1 then
  return {'ended', ''}
end
if known ~= ARGV[2] then
  return {'changed', known}
end
local ttl = math.max(tonumber(ARGV[5]), redis.call('PEXPIRETIME', KEYS[2]))
redis.call('SET', KEYS[2], ARGV[3], 'PXAT', ttl)
if known == '' then
  remind('s' .. ARGV[1], unpacked(ARGV[3], 1))
end
return {'done', ''}
