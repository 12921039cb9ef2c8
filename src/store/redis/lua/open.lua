-- Founds the store under a prefix, or says how it was founded. KEYS: the record of the store. ARGV: schema, shards, a value
-- that tells digest keys apart. Answers {schema, shards, value}.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'schema', ARGV[1], 'shards', ARGV[2], 'key', ARGV[3])
end
return redis.call('HMGET', KEYS[1], 'schema', 'shards', 'key')
