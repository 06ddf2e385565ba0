-- FORGET: drops a history and its lease. Its due entries are left to the sweeper, which finds them without a history.
-- KEYS: history, pending, owner
-- ARGV: session
-- Returns: clock, whether there was a history

local existed = redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return {clock(), existed}
