-- Takes back a token that was recorded by an issue of which another token was refused: it was never handed out. KEYS: its record.
-- ARGV: the record as it was written. One that changed since stays.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('UNLINK', KEYS[1])
end
return 0
