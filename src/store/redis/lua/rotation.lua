-- The rule of rules::rotation, for what the scripts decide of it.
local LAST, IMPORTED = 1073741822, 1073741823

-- The generation of the successors.
local function generation_after(generation)
  return math.min(generation + 1, LAST)
end

-- The generation of a family and when it began, after the first rotation of a token. A faster branch of the same family has
-- come further already: the window is that of its first successors.
local function family_after(generation, began, next, now)
  if generation >= next then
    return generation, began
  end
  return next, now
end

-- Whether a rotation that comes second is within the grace window, which has two sides.
local function is_in_grace(token_generation, generation, began, now, grace)
  return token_generation ~= IMPORTED
    and generation == generation_after(token_generation)
    and math.abs(now - began) < grace
end
