-- Drops a due entry of a session that has no history; with a history only an append at its exact tail may do that.
-- KEYS: history, due
-- ARGV: member
-- Returns: clock, whether it is gone

if redis.call('EXISTS', KEYS[1]) == 1 then
    return {clock(), 0}
end
redis.call('ZREM', KEYS[2], ARGV[1])
return {clock(), 1}
