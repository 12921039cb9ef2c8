-- Opens a session, or replaces what is known of it. KEYS: the shard, the session, the entry that logs it out.
-- ARGV: id, what the caller takes it to be ('' for unknown), what it shall be, when it began.
-- Answers {what came of it, what is known}. A session: due (8 bytes), and then what only the caller reads.
local known = redis.call('GET', KEYS[2]) or ''
if covers(KEYS[3], 's', 0) then
  return {'ended', ''}
end
if known ~= ARGV[2] then
  return {'changed', known}
end
local due = unpacked(ARGV[3], 1)
raise(due, 0, 0)
add_login(tonumber(ARGV[4]), due)
local ttl = math.max(forgotten(due), redis.call('PEXPIRETIME', KEYS[2]))
redis.call('SET', KEYS[2], ARGV[3], 'PXAT', ttl)
if known == '' then
  remind('s' .. ARGV[1], due)
end
return {'done', ''}
