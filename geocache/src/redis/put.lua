-- Puts snapshots that are not older than what is there. KEYS: the place, the tenants of its bucket. ARGV: seconds to keep,
-- tenant, then field and value of each snapshot. A value begins with its version as 16 hexadecimal digits, which sort as
-- numbers do.
local stale = 0
for index = 3, #ARGV, 2 do
    local held = redis.call('HGET', KEYS[1], ARGV[index])
    if held and string.sub(held, 1, 16) > string.sub(ARGV[index + 1], 1, 16) then
        stale = stale + 1
    else
        redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return stale
