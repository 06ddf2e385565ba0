-- PEEK: takes over sessions whose lease ran out and hands out alarms that are due, unless another node sweeps here.
-- KEYS: pending, owner and due of each partition in turn; behind them the claim to sweep, if it is to be asked for
-- ARGV: limit, boot, lease_ms, ahead_ms, apart_ms
-- Returns: clock, 0 or in how many ms to ask again because another node sweeps, sessions and attempts in turn, members and times of
--          alarms in turn
-- Of the claim's value, `boot deadline turn`, the turn is the time at which the last of those who were refused is to ask again.
-- A time that is further away than FAR was written before the clock was set back, and is as good as none: else all would wait for it.

local limit, boot, lease_ms, ahead_ms, apart_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local sweep = #KEYS % 3 == 1 and KEYS[#KEYS]

local FAR = 30000
local now = clock()
if sweep then
    local holder, deadline, turn = string.match(redis.call('GET', sweep) or '', '^(.*) (%d+) (%d+)$')
    deadline, turn = tonumber(deadline or 0), tonumber(turn or 0)
    if turn > now + FAR then
        turn = 0
    end
    if holder and holder ~= boot and deadline <= now + FAR then
        turn = math.max(turn, now) + apart_ms
        redis.call('SET', sweep, holder .. ' ' .. deadline .. ' ' .. turn, 'KEEPTTL')
        return {now, math.max(turn, deadline + 1) - now, {}, {}}
    end
    redis.call('SET', sweep, boot .. ' ' .. now + lease_ms .. ' ' .. turn, 'PX', lease_ms)
end

-- With nothing to do in most of them, it is cheap to look at many.
local keys = {{}, {}, {}}
for i = 1, #KEYS - #KEYS % 3 do
    local kind = keys[(i - 1) % 3 + 1]
    kind[#kind + 1] = KEYS[i]
end
local pendings, owners, dues = unpack(keys)

local taken = {}
for i = 1, redis.call('EXISTS', unpack(pendings)) > 0 and #pendings or 0 do
    local pending, owner = pendings[i], owners[i]
    local overdue = redis.call('ZRANGEBYSCORE', pending, '-inf', '(' .. now, 'WITHSCORES', 'LIMIT', 0, limit)
    for j = 1, #overdue, 2 do
        local session, deadline = overdue[j], overdue[j + 1]
        local own = redis.call('HGET', owner, session)
        local attempts = 1
        if own then
            local holder, before = owner_of(own)
            attempts = holder == boot and before or counted(before, deadline)
        end
        take(session, owner, pending, boot, attempts, now + lease_ms)
        taken[#taken + 1] = session
        taken[#taken + 1] = attempts
    end
end

-- What is handed out is out of every sweep's sight until a second after its time. Half a millisecond marks it: found again, it
-- is overdue, whatever its score says.
local GRACE = 1000.5
local alarms = {}
for i = 1, redis.call('EXISTS', unpack(dues)) > 0 and #dues or 0 do
    local due = dues[i]
    local found = redis.call('ZRANGEBYSCORE', due, '-inf', now + ahead_ms, 'WITHSCORES', 'LIMIT', 0, limit)
    for j = 1, #found, 2 do
        local member, at = found[j], tonumber(found[j + 1])
        local due_at = at % 1 == 0 and at or now
        redis.call('ZADD', due, math.max(due_at, now) + ahead_ms + GRACE, member)
        alarms[#alarms + 1] = member
        alarms[#alarms + 1] = due_at
    end
end
return {now, 0, taken, alarms}
