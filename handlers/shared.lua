-- Stands before every script; the loader sets PAGE above it.

local function clock()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The uid stands behind the format byte; an empty list has the empty tail.
local function tail_of(list)
    local element = redis.call('LINDEX', list, -1)
    return element and string.sub(element, 2, 9) or ''
end

-- `boot attempts` in two.
local function owner_of(entry)
    local boot, attempts = string.match(entry, '^(.*) (%d+)$')
    return boot, tonumber(attempts)
end

-- Attempts after a take-over, from the deadline that is in `pending`. Half a millisecond there says that the session was handed over: orderly
-- stops, however many, count as one take-over at most.
local function counted(attempts, deadline)
    return tonumber(deadline) % 1 == 0 and attempts + 1 or math.max(attempts, 1)
end

local function take(session, owner, pending, boot, attempts, deadline)
    local entry = boot .. ' ' .. attempts
    redis.call('HSET', owner, session, entry)
    redis.call('ZADD', pending, deadline, session)
    return entry
end

-- Who is named as the owner in a reply holds the lease from then on; else two could lead.
local function renewed(session, owner, pending, boot, deadline)
    local own = redis.call('HGET', owner, session)
    if own and owner_of(own) == boot then
        redis.call('ZADD', pending, deadline, session)
    end
    return own
end
