-- The operations.

if operation == 'publish' then
  local flags, birth, most, age, window, most_keys = unpack('>BI4I8I8I8I4', settings, SETTINGS)
  local closes, keyed, may_be_born, sharded = flags % 2 >= 1, flags % 4 >= 2, flags % 8 >= 4, flags % 16 >= 8
  local change = flags >= 16 and lives().read_change(ARGV[keyed and 4 or 3])
  local now = clock()
  local name = sub(KEYS[2], #KEYS[1] + 2)
  local drafts = (keyed and 3 or 2) + (change and 1 or 0)
  local messages = #ARGV - drafts
  local changes = 1

  local seq, newest_at, floor, state, due, keys_due, led = 0, 0, sealed, 0, 0, 0, 0
  local life
  if channel then
    birth, seq, newest_at, floor, state, due, keys_due, led = unpack(CHANNEL, channel)
    life = state >= 2 and lives().of(name) or nil
    if keyed then
      local kept = call('HGET', KEYS[4], sub(ARGV[3], 1, 16))
      if kept then
        local payload, taken, before, number = unpack('>c16I8I8I4', kept)
        if taken >= now - window and taken <= now + window then
          if payload ~= sub(ARGV[3], 17, 32) then
            return head('D') .. 'U'
          end
          -- Written as it is: WAIT and WAITAOF wait for what came over the same connection, and what is answered for
          -- again may have come over another.
          call('SET', KEYS[1], record)
          return head('D') .. pack('>c1I4I8I4', 'A', birth, before, number)
        end
      end
    end
    if life and not change then
      if string.byte(life, 9) == 1 then
        return head('D') .. 'H'
      end
      local ends = lives().end_of(life, newest_at)
      if ends and ends <= now then
        return head('D') .. 'O'
      end
    end
    if state % 2 == 1 and not change then
      -- Likewise.
      call('SET', KEYS[1], record)
      return head('D') .. 'C'
    end
  end
  if change then
    local found = lives().token(life, channel and birth or 0, seq, state)
    if lives().is_outdated(change, name, found, now) then
      return head('D') .. 'X'
    end
  end
  if change and messages == 0 and not closes and lives().changes_nothing(change) then
    -- Likewise.
    call('SET', KEYS[1], record)
    return head('D') .. pack('>c1I4', 'S', birth)
  end
  if change and change.content == REMOVED then
    save(1, now)
    lives().erase(name)
    announce(sharded, pack('>c1I4I8I8I4I2', 'F', generation, count, reign, birth, #name) .. name)
    return head('D') .. 'L' .. pack('>I4I8I8BI4', birth, seq, now, state % 2, 0)
  end
  if change and change.life then
    life = change.life
    state = state % 2 + 2
  end

  -- How often bounds are looked at, and the last use of a channel is written down: not more than once a second.
  local function period_of(age)
    return age > 0 and math.max(1000000, math.min(60000000, math.floor(age / 4))) or 60000000
  end
  local victim
  if not channel and not may_be_born then
    -- One that has been unused for longer than the server promises anything, and holds nothing.
    local unused = string.format('%.0f', now - window - age - period_of(age))
    for _, name in ipairs(call('ZRANGEBYSCORE', base() .. 'u', '-inf', unused, 'LIMIT', 0, 16)) do
      local is_held = call('EXISTS', base() .. 'f:' .. name) == 1
      if not is_held and (age > 0 or call('EXISTS', base() .. 's:' .. name) == 0) then
        victim = name
        break
      end
    end
    if not victim then
      return head('D') .. 'F'
    end
    changes = 2
  end

  -- From here on they are the channel's own.
  if life then
    most, age = lives().bounds(life, most, age)
  end
  local period = period_of(age)

  if change and change.content == BORN then
    -- A fork goes on after what it inherits.
    seq, newest_at, floor = change.after, change.after_at, math.max(floor, change.after_at)
  end
  local before = seq
  local first_at = math.max(now, floor + 1)
  if messages > 0 then
    seq = seq + messages
    newest_at = first_at + messages - 1
    floor = newest_at
  end
  if closes then
    state = state - state % 2 + 1
  end
  -- With another bound on age than at the last look, the stream's expiry is another as well. What is left of the time of
  -- the next look, divided by a prime number, is the bound in seconds, to tell that.
  local bound = math.ceil(age / 1000000) % 4093
  local looks = now >= due or due > now + period or due % 4093 ~= bound
  if looks then
    due = now + period - 4093
    due = due - due % 4093 + bound
  end
  if change and (change.content == BORN or change.content == PURGED) then
    -- There is no stream yet that could be told when to expire; the next publish, which makes it, looks as well.
    due = 0
  end
  local keys_expire = keyed and (now >= keys_due or keys_due > now + window)
  if keys_expire then
    keys_due = now + math.floor(window / 4)
  end
  save(changes, now, pack(CHANNEL, birth, seq, newest_at, floor, state, due, keys_due, led))

  if victim then
    local forgotten = call('GET', base() .. 'm:' .. victim)
    local was = forgotten and unpack('>I4', forgotten) or 0
    lives().erase(victim)
    announce(sharded, pack('>c1I4I8I8I4I2', 'F', generation, count - 1, reign, was, #victim) .. victim)
  end
  if not channel then
    -- What is left of a channel whose record is gone: Redis was told to evict it.
    lives().unlink_all(name)
    call('ZADD', base() .. 'i', 0, name)
  end
  if change then
    lives().write_change(change, name, now)
    if change.life then
      local ends = string.byte(life, 9) == 1 and 0 or lives().end_of(life, newest_at)
      if ends then
        call('ZADD', base() .. 'e', string.format('%.0f', ends), name)
      else
        call('ZREM', base() .. 'e', name)
      end
    end
    looks = looks or change.life ~= nil
  end

  local entries, bytes = {}, 0
  for place = 1, messages do
    local entry = pack('>I8', first_at + place - 1) .. ARGV[drafts + place]
    local id = string.format('%.0f-0', before + place)
    if most > 0 and place == messages then
      call('XADD', KEYS[3], 'MAXLEN', '~', most, id, 'm', entry)
    else
      call('XADD', KEYS[3], id, 'm', entry)
    end
    bytes = bytes + #entry
    if bytes <= 8192 then
      entries[2 * place - 1] = pack('>I4', #entry)
      entries[2 * place] = entry
    end
  end

  if keyed then
    local hash = sub(ARGV[3], 1, 16)
    call('HSET', KEYS[4], hash, sub(ARGV[3], 17, 32) .. pack('>I8I8I4', now, before, messages))
    local keys = call('RPUSH', KEYS[5], pack('>I8', now) .. hash)
    -- Each publish adds one and removes up to eight.
    local gone = 0
    for _, oldest in ipairs(call('LRANGE', KEYS[5], 0, 7)) do
      local taken = unpack('>I8', oldest)
      if keys - gone <= most_keys and taken >= now - window and taken <= now + window then
        break
      end
      gone = gone + 1
      local kept = call('HGET', KEYS[4], sub(oldest, 9))
      if kept and unpack('>I8', kept, 17) == taken then
        call('HDEL', KEYS[4], sub(oldest, 9))
      end
    end
    if gone > 0 then
      call('LTRIM', KEYS[5], gone, -1)
    end
    if keys_expire then
      local expiry = string.format('%.0f', math.floor(window / 800) + 1000)
      call('PEXPIRE', KEYS[4], expiry)
      call('PEXPIRE', KEYS[5], expiry)
    end
  end

  if looks then
    -- A channel with a life of its own is never forgotten to make room.
    call('ZADD', base() .. 'u', life and '+inf' or string.format('%.0f', now), name)
    if age == 0 then
      call('PERSIST', KEYS[3])
    else
      call('PEXPIRE', KEYS[3], string.format('%.0f', math.floor((age + 2 * period) / 1000)))
      -- The newest message that is too old. Its number is found by halves: numbers have no holes.
      local oldest = call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
      local low = oldest and tonumber(string.match(oldest[1], '^%d+')) or seq + 1
      local high, first = seq + 1, low
      while low < high do
        local middle = math.floor((low + high) / 2)
        local found = call('XRANGE', KEYS[3], string.format('%.0f-0', middle), '+', 'COUNT', 1)[1]
        if found and unpack('>I8', found[2][2]) < now - age then
          low = middle + 1
        else
          high = middle
        end
      end
      if low > first then
        local trimmed = call('XTRIM', KEYS[3], 'MINID', '~', string.format('%.0f-0', low), 'LIMIT', 1000)
        if trimmed >= 1000 then
          -- There is more; the next publish goes on.
          call('SET', KEYS[2], pack(CHANNEL, birth, seq, newest_at, floor, state, now, keys_due, led))
        end
      end
    end
  end

  local kept = pack('>I4I8I8BI4', birth, before, first_at, state % 2 + (life and 2 or 0), messages)
  if change and change.is_loud then
    announce(sharded, pack('>c1I4I8I8BI4I2', 'L', generation, count, reign, channel and 0 or 1, birth, #name) .. name)
    return head('D') .. 'L' .. kept
  end
  local text = pack('>c1I4I8I8', 'K', generation, count, reign) .. kept .. pack('>I2', #name) .. name
  if bytes <= 8192 then
    text = text .. table.concat(entries)
  end
  announce(sharded, text)
  return head('D') .. 'K' .. kept
end

if operation == 'state' then
  return head('D') .. pack('>I8B', call('ZCARD', base() .. 'u'), process == this_process and 1 or 0)
end

if operation == 'names' then
  local limit = unpack('>I4', settings, SETTINGS)
  local names, used = base() .. 'i', base() .. 'u'
  if call('ZCARD', names) ~= call('ZCARD', used) then
    -- Those of a log that was written before there was this key.
    call('DEL', names)
    for _, name in ipairs(call('ZRANGE', used, 0, -1)) do
      call('ZADD', names, 0, name)
    end
  end
  local reply, more = { '' }, 0
  for place, name in ipairs(call('ZRANGEBYLEX', names, ARGV[3], '+', 'LIMIT', 0, limit + 1)) do
    if sub(name, 1, #ARGV[4]) ~= ARGV[4] then
      break
    elseif place > limit then
      more = 1
    else
      reply[place + 1] = pack('>I8', call('MEMORY', 'USAGE', base() .. 's:' .. name) or 0) .. name
    end
  end
  reply[1] = head('D') .. pack('>B', more)
  return reply
end

if operation == 'newest' then
  local found = {}
  for place = 2, #KEYS do
    local channel = call('GET', KEYS[place])
    local birth, seq, state = 0, 0, 0
    if channel then
      local _
      birth, seq, _, _, state = unpack(CHANNEL, channel)
    end
    found[place - 1] = pack('>I4I8B', birth, seq, state)
  end
  return head('D') .. table.concat(found)
end

if operation == 'renew' then
  if generation ~= known then
    return head('R')
  end
  local sharded, next_generation = unpack('>BI4', settings, SETTINGS)
  generation = next_generation
  -- A reign begins as well, whoever wrote last.
  process = ''
  save(1, clock())
  announce(sharded == 1, pack('>c1I4I8I8', 'N', generation, count, reign))
  return head('D')
end

if operation == 'seal' then
  local millis = unpack('>I8', settings, SETTINGS)
  local now = clock()
  local now_millis = math.floor(now / 1000)
  local channel = call('GET', KEYS[2])
  if not channel then
    local reach = math.min(millis, now_millis)
    if reach * 1000 + 999 > sealed then
      sealed = reach * 1000 + 999
      save(0, now)
    end
    return head('D') .. pack('>I8I4I8', reach, 0, 0)
  end
  local birth, seq, newest_at, floor, state, due, keys_due, led = unpack(CHANNEL, channel)
  -- The last millisecond that is over: the next message has at least the microsecond after the last one.
  local over = math.floor((floor + 1) / 1000) - 1
  local reach = millis
  if millis > now_millis then
    -- Ahead of the clock by a millisecond in each millisecond, so that a channel that is ahead is not waited for.
    if now < led then
      led = now
      reach = now_millis
    elseif now - led < 1000 then
      reach = now_millis
    end
  end
  if reach > over then
    floor = reach * 1000 + 999
    if reach > now_millis then
      led = now
    end
    save(0, now, pack(CHANNEL, birth, seq, newest_at, floor, state, due, keys_due, led))
  end
  return head('D') .. pack('>I8I4I8', math.min(millis, math.max(reach, over)), birth, seq)
end

if operation == 'forget' then
  local sharded = unpack('>B', settings, SETTINGS)
  local channel = call('GET', KEYS[2])
  if not channel then
    return head('D') .. pack('>I4', 0)
  end
  local birth = unpack('>I4', channel)
  local name = sub(KEYS[2], #KEYS[1] + 2)
  save(1, clock())
  lives().erase(name)
  announce(sharded == 1, pack('>c1I4I8I8I4I2', 'F', generation, count, reign, birth, #name) .. name)
  return head('D') .. pack('>I4', birth)
end

-- What is left reads one channel.
local most, age, first_number, second_number, third_number = unpack('>I8I8', settings, SETTINGS)
local channel = call('GET', KEYS[2])
if not channel then
  return head('D') .. pack('>I4', 0)
end
local birth, seq, newest_at, _, state = unpack(CHANNEL, channel)
local closed, life = state % 2, state >= 2 and lives().of(sub(KEYS[2], #KEYS[1] + 2)) or nil
if life then
  most, age = lives().bounds(life, most, age)
end

-- The entry with this number, or the next one that is there: its number, its time and random bits (17 bytes with the
-- version between them), the whole of it.
local function entry(number)
  local found = call('XRANGE', KEYS[3], string.format('%.0f-0', number), '+', 'COUNT', 1)[1]
  if found then
    return tonumber(string.match(found[1], '^%d+')), found[2][2]
  end
  return nil
end

-- The first number from `low` on whose message was taken after `time`.
local function first_after(low, time)
  local high = seq + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local _, found = entry(middle)
    if found and unpack('>I8', found) <= time then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- The oldest message that is there and within the bound on number.
local oldest, oldest_entry = entry(0)
oldest = oldest or seq + 1
if most > 0 and oldest < seq + 1 - most then
  oldest, oldest_entry = entry(seq + 1 - most)
  oldest = oldest or seq + 1
end

-- Up to `limit` messages and `bytes` bytes of payload from `number` on, but at least one.
local function stretch(reply, number, limit, bytes)
  local step = 16
  while limit > 0 do
    local asked = math.min(limit, step)
    local found = call('XRANGE', KEYS[3], string.format('%.0f-0', number), '+', 'COUNT', asked)
    for _, each in ipairs(found) do
      local text = each[2][2]
      -- An entry that somebody deleted ends the stretch: what comes behind a hole is read from there.
      if each[1] ~= string.format('%.0f-0', number) or (bytes < #text - 17 and #reply > 1) then
        return
      end
      reply[#reply + 1] = text
      bytes = bytes - (#text - 17)
      number = number + 1
    end
    if #found < asked or bytes <= 0 then
      return
    end
    limit = limit - asked
    step = 64
  end
end

if operation == 'read' then
  local after, limit, bytes = unpack('>I8I8I8', settings, SETTINGS + 16)
  local at = oldest_entry and unpack('>I8', oldest_entry) or newest_at
  local number = math.max(after + 1, oldest)
  local reply = { '' }
  if number <= seq then
    number = entry(number) or number
    stretch(reply, number, limit, bytes)
  end
  reply[1] = head('D') .. pack('>I4I8BI8I8I8', birth, seq, closed, oldest, at, number)
  return reply
end

if operation == 'locate' then
  local time = unpack('>I8', settings, SETTINGS + 16)
  local next_number = first_after(oldest, time)
  local around = ''
  for number = next_number - 2, next_number do
    local found, text
    if number >= oldest and number <= seq then
      found, text = entry(number)
    end
    around = around .. (found == number and pack('>I8', number) .. sub(text, 1, 8) .. sub(text, 10, 17)
      or string.rep('\0', 24))
  end
  return head('D') .. pack('>I4I8', birth, seq) .. around
end

if operation == 'load' then
  local limit, bytes = unpack('>I8I8', settings, SETTINGS + 16)
  if age > 0 and oldest <= seq then
    oldest = first_after(oldest, clock() - age - 1)
    local _
    _, oldest_entry = entry(oldest)
  end
  local at = oldest_entry and unpack('>I8', oldest_entry) or newest_at
  -- From the newest back, as far as the limits allow.
  local tail, number, room = {}, seq, bytes
  while number >= oldest and #tail < limit do
    local asked = math.min(limit - #tail, number - oldest + 1, #tail == 0 and 16 or 64)
    local found = call('XREVRANGE', KEYS[3], string.format('%.0f-0', number), '-', 'COUNT', asked)
    for _, each in ipairs(found) do
      local text = each[2][2]
      if each[1] ~= string.format('%.0f-0', number) or (room < #text - 17 and #tail > 0) then
        asked = nil
        break
      end
      tail[#tail + 1] = text
      room = room - (#text - 17)
      number = number - 1
    end
    if not asked or #found < asked then
      break
    end
  end
  local reply = { head('D') .. pack('>I4I8I8BI8I8', birth, seq, newest_at, closed, oldest, at) .. (life or '') }
  for place = #tail, 1, -1 do
    reply[#reply + 1] = tail[place]
  end
  return reply
end

return redis.error_reply('ERR unknown operation')
