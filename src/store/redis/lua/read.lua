-- The first bytes of one key, all of them where ARGV[1] is 0. A script, and not a plain GET, because Redis runs no script
-- that may write on a replica: one that was the primary a moment ago does not answer for it.
-- One key for each call: while a slot moves, those are the calls that Redis answers.
if ARGV[1] == '0' then
  return redis.call('GET', KEYS[1])
end
return redis.call('GETRANGE', KEYS[1], 0, ARGV[1] - 1)
