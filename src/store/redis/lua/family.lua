-- Advances a family of refresh tokens, or only asks. KEYS: the shard, the family. ARGV: its id, '1' to advance it, generation
-- of the successors, now, grace, due. Answers 1 if a rotation that comes second is within the grace window.
local generation, now, grace, due = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
return window(KEYS[2], ARGV[1], ARGV[2] == '1', generation, now, grace, due) and 1 or 0
