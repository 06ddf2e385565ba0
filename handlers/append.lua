-- APPEND: compares the tail, then appends, sets the indexes and takes or gives back the lease. Without events: a claim or a
-- release. RESTART is the same with a fifth key, the place for the old generation: the events replace the list.
-- KEYS: history, pending, owner, due [, old generation]
-- ARGV: session, boot, lease_ms, tail, numbers; the events; time and member of each alarm set; the members cleared, which comes
--       first, so that a set one stays. The numbers, in one string, are quicker to send: length, release and progress (1 or 0),
--       keep_until and keep_old_until (or nothing), count of events, of alarms set, of alarms cleared.
-- Returns: clock, status (0 ok, 1 again, 2 conflict), length, owner's entry, on a conflict the slice

local history, pending, owner, due, old = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, boot, lease_ms, tail = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local length, release, progress, keep_until, keep_old_until, events, set, cleared =
    string.match(ARGV[5], '^(%d+) ([01]) ([01]) (%d*) (%d*) (%d+) (%d+) (%d+)$')
length, events, set, cleared = tonumber(length), tonumber(events), tonumber(set), tonumber(cleared)
release, progress = release == '1', progress == '1'
local last = 5 + events

local now = clock()
local stored = redis.call('LLEN', history)
local stored_tail = tail_of(history)
local kept = old and 0 or length

if events > 0 and stored == kept + events and stored_tail == string.sub(ARGV[last], 2, 9) then
    return {now, 1, stored, renewed(session, owner, pending, boot, now + lease_ms)}
end
if stored ~= length or stored_tail ~= tail then
    local start = math.max(length - 1, 0)
    return {now, 2, stored, renewed(session, owner, pending, boot, now + lease_ms), redis.call('LRANGE', history, start, start + PAGE)}
end

if old and stored > 0 then
    if keep_old_until == '' then
        redis.call('DEL', history)
    else
        redis.call('RENAME', history, old)
        redis.call('PEXPIREAT', old, keep_old_until)
    end
end
in_slices('RPUSH', history, 6, last)
in_slices('ZREM', due, last + 2 * set + 1, last + 2 * set + cleared)
in_slices('ZADD', due, last + 1, last + 2 * set)
if keep_until == '' then
    redis.call('PERSIST', history)
else
    redis.call('PEXPIREAT', history, keep_until)
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
return {now, 0, kept + events, own}
