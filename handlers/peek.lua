-- PEEK: takes over sessions whose lease ran out and hands out alarms that are due, unless another node sweeps this partition.
-- KEYS: pending, owner, due, sweep
-- ARGV: limit, boot, lease_ms, ahead_ms
-- Returns: clock, whether another node sweeps, sessions and attempts in turn, members and times of alarms in turn

local pending, owner, due, sweep = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, boot, lease_ms, ahead_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local now = clock()
local sweeper = redis.call('GET', sweep)
if sweeper and sweeper ~= boot then
    return {now, 1, {}, {}}
end
redis.call('SET', sweep, boot, 'PX', lease_ms)

local taken = {}
for _, session in ipairs(redis.call('ZRANGEBYSCORE', pending, '-inf', '(' .. now, 'LIMIT', 0, limit)) do
    local own = redis.call('HGET', owner, session)
    local attempts = 1
    if own then
        local holder, before = owner_of(own)
        attempts = holder == boot and before or before + 1
    end
    take(session, owner, pending, boot, attempts, now + lease_ms)
    taken[#taken + 1] = session
    taken[#taken + 1] = attempts
end

-- What is handed out is out of every sweep's sight until a second after its time. Half a millisecond marks it: found again, it
-- is overdue, whatever its score says.
local GRACE = 1000.5
local alarms = {}
local found = redis.call('ZRANGEBYSCORE', due, '-inf', now + ahead_ms, 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #found, 2 do
    local member, at = found[i], tonumber(found[i + 1])
    local due_at = at % 1 == 0 and at or now
    redis.call('ZADD', due, math.max(due_at, now) + ahead_ms + GRACE, member)
    alarms[#alarms + 1] = member
    alarms[#alarms + 1] = due_at
end
return {now, 0, taken, alarms}
