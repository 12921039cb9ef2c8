-- The open logins of a shard, as rules::OpenLogins has them: a day (8 bytes) and until when sessions are kept that began on it
-- (8), for each day.
local DAY = 86400000

local function add_login(login, kept)
  local days, day = redis.call('HGET', KEYS[1], 'd') or '', math.floor(login / DAY)
  local at = #days + 1
  for from = 1, #days, 16 do
    if unpacked(days, from) == day then
      at = from
    end
  end
  if at < #days and unpacked(days, at + 8) >= kept then
    return
  end
  days = string.sub(days, 1, at - 1) .. packed(day) .. packed(kept) .. string.sub(days, at + 16)
  redis.call('HSET', KEYS[1], 'd', days)
end

local function drop_logins(now)
  local days, left = redis.call('HGET', KEYS[1], 'd') or '', {}
  for from = 1, #days, 16 do
    if not is_due(unpacked(days, from + 8), now) then
      left[#left + 1] = string.sub(days, from, from + 15)
    end
  end
  if #left * 16 < #days then
    redis.call('HSET', KEYS[1], 'd', table.concat(left))
  end
end
