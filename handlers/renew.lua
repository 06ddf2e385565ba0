-- RENEW: keeps the lease if it is ours, and shows the tail, so that inputs which another node appended are seen.
-- KEYS: history, pending, owner
-- ARGV: session, boot, lease_ms; 0 hands the session over: its lease has run out, and half a millisecond tells why
-- Returns: clock, whether it is ours, length, tail

local history, pending, owner = KEYS[1], KEYS[2], KEYS[3]
local session, boot, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local now = clock()
local own = redis.call('HGET', owner, session)
local mine = own and owner_of(own) == boot
if mine then
    redis.call('ZADD', pending, lease_ms > 0 and now + lease_ms or now - 0.5, session)
end
return {now, mine and 1 or 0, redis.call('LLEN', history), tail_of(history)}
