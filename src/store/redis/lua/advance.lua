-- Advances the family of a grant, for the first rotation of a token. KEYS: the shard, the grant record. ARGV: id of the grant,
-- generation of the token, now, until when the family is kept. Answers nothing of interest.
local kept, generation, began, owner = grant_at(KEYS[2])
local next = generation_after(tonumber(ARGV[2]))
generation, began = family_after(generation, began, next, tonumber(ARGV[3]))
write_grant(KEYS[2], ARGV[1], math.max(kept, tonumber(ARGV[4])), generation, began, owner)
return 1
