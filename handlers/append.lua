-- APPEND: compares the tail, then appends, sets the indexes and takes or gives back the lease. Without events: a claim or a
-- release. RESTART is the same with a fifth key, the place for the old generation: the events replace the list.
-- KEYS: pending, owner, due, history [, old generation]
-- ARGV: the terms, tail, the events. The terms are one message, which both sides read and write quickest: session, boot, lease_ms,
--       length, release, progress, keep_until, keep_old_until, alarms set, and cleared, which comes first, so that a set one stays
-- Returns: clock, status, length and the owner's entry or nothing, as a message; on a conflict that message and the slice

local pending, owner, due, history, old = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, boot, lease_ms, length, release, progress, keep_until, keep_old_until, alarms_set, alarms_cleared =
    unpack(cmsgpack.unpack(ARGV[1]), 1, 10)
local tail, last = ARGV[2], ARGV[#ARGV]
local events = #ARGV - 2

local now = clock()
local stored = redis.call('LLEN', history)
local stored_tail = tail_of(history)
local kept = old and 0 or length

local function answer(status, length, own)
    return cmsgpack.pack({now, status, length, own or ''})
end

local function alarm(gen, step)
    return session .. string.format(' %d/', gen) .. step
end

if events > 0 and stored == kept + events and stored_tail == string.sub(last, 2, 9) then
    return answer('again', stored, renewed(session, owner, pending, boot, now + lease_ms))
end
if stored ~= length or stored_tail ~= tail then
    local start = math.max(length - 1, 0)
    local told = answer('conflict', stored, renewed(session, owner, pending, boot, now + lease_ms))
    return {told, redis.call('LRANGE', history, start, start + PAGE)}
end

if old and stored > 0 then
    if keep_old_until then
        redis.call('RENAME', history, old)
        redis.call('PEXPIREAT', old, keep_old_until)
    else
        redis.call('DEL', history)
    end
end
for first = 3, #ARGV, 500 do  -- Lua's stack holds about 8,000 values
    redis.call('RPUSH', history, unpack(ARGV, first, math.min(first + 499, #ARGV)))
end
for _, cleared in ipairs(alarms_cleared) do
    redis.call('ZREM', due, alarm(cleared[1], cleared[2]))
end
for _, set in ipairs(alarms_set) do
    redis.call('ZADD', due, set.at, alarm(set.gen, set.step))
end
if keep_until then
    redis.call('PEXPIREAT', history, keep_until)
else
    redis.call('PERSIST', history)
end

-- Progress is that something owed no longer is, and forgets the take-overs. Another's live lease is left alone; an expired one is
-- taken over, which counts.
local own = redis.call('HGET', owner, session)
local holder, attempts = boot, 0
if own then
    holder, attempts = owner_of(own)
    if progress and attempts > 0 then
        attempts = 0
        own = holder .. ' 0'
        redis.call('HSET', owner, session, own)
    end
end
if holder == boot or tonumber(redis.call('ZSCORE', pending, session) or 0) < now then
    if release then
        if own then
            redis.call('HDEL', owner, session)
            redis.call('ZREM', pending, session)
            own = false
        end
    else
        if holder ~= boot then
            attempts = counted(attempts, redis.call('ZSCORE', pending, session) or 0)
        end
        own = take(session, owner, pending, boot, attempts, now + lease_ms)
    end
end
return answer('ok', kept + events, own)
