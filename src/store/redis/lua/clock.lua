-- Writes down what a sweep made of its clock. KEYS: the shard. ARGV: the latest time seen, and what the clock showed when it was
-- first found ahead, or ''.
if tonumber(ARGV[1]) > (tonumber(redis.call('HGET', KEYS[1], 't')) or 0) then
  redis.call('HSET', KEYS[1], 't', ARGV[1])
end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], 'j')
else
  redis.call('HSET', KEYS[1], 'j', ARGV[2])
end
return 1
