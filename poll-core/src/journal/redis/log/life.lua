-- Lives, producers and forks: what a change of them is compared with, and how it is written.

-- What the script has to know of a life, in front of the life itself: its version, whether it is hidden, when it ends,
-- how long it lasts after its last use, when that was, and its bounds on number and age. Zero is none; SERVERS are the
-- bounds of the caller.
local LIFE, SERVERS = '>c8BI8I8I8I8I8', 9007199254740991
local SAME, BORN, PURGED, REMOVED = 0, 1, 2, 3
local MOST_PRODUCERS = 1000

-- The functions for all that. To make them takes a microsecond, which a publish to a channel without a life need not pay.
local made
local function lives()
  if made then
    return made
  end
  made = {}

  -- The life of a channel whose state says that it has one.
  function made.of(name)
    return call('GET', base() .. 'l:' .. name) or nil
  end

  -- The bounds in force, of the life's and the caller's.
  function made.bounds(life, most, age)
    local _, _, _, _, _, own_most, own_age = unpack(LIFE, life)
    return own_most == SERVERS and most or own_most, own_age == SERVERS and age or own_age
  end

  -- When a life is over, if it has an end. A use in the last quarter of its time need not have been written down.
  function made.end_of(life, newest_at)
    local _, _, till, sliding, touched = unpack(LIFE, life)
    if till > 0 then
      return till
    end
    return sliding > 0 and math.max(newest_at, touched + math.floor(sliding / 4)) + sliding or nil
  end

  -- What a change is compared with: the life's version, birth, newest number, state.
  function made.token(life, birth, seq, state)
    return (life and sub(life, 1, 8) or string.rep('\0', 8)) .. pack('>I4I8B', birth, seq, state)
  end

  -- The keys of a channel beside its record.
  local LETTERS = { 's:', 'k:', 'o:', 'l:', 'd:', 'f:' }

  function made.unlink_all(name)
    for _, letter in ipairs(LETTERS) do
      call('UNLINK', base() .. letter .. name)
    end
  end

  -- A channel with everything of it.
  function made.erase(name)
    call('UNLINK', base() .. 'm:' .. name)
    made.unlink_all(name)
    for _, set in ipairs({ 'u', 'i', 'e' }) do
      call('ZREM', base() .. set, name)
    end
  end

  -- A change of a channel's life, as script/life.rs packs it.
  function made.read_change(text)
    local change, flags, at = {}, nil, nil
    change.token, flags, change.content, change.not_after, change.after, change.after_at, at =
      unpack('>c21BBI8I8I8', text)
    change.is_exact, change.is_loud = flags % 2 >= 1, flags % 4 >= 2
    -- Each part that is there: a length and as many bytes.
    for place, part in ipairs({ 'life', 'producer', 'forgotten', 'pin', 'unpin' }) do
      if math.floor(flags / 2 ^ (place + 1)) % 2 == 1 then
        change[part], at = unpack('>I4c0', text, at)
      end
    end
    if change.producer then
      local rest
      change.state, change.expected, rest = unpack('>c24Bc0', change.producer)
      change.producer = sub(change.producer, rest)
    end
    return change
  end

  -- Whether a change was decided from what is not so any more.
  function made.is_outdated(change, name, found, now)
    local expected = change.token
    if not change.is_exact then
      -- All but the newest number.
      found, expected = sub(found, 1, 12) .. sub(found, 21), sub(expected, 1, 12) .. sub(expected, 21)
    end
    if found ~= expected or (change.not_after > 0 and change.not_after < now) then
      return true
    end
    if change.producer then
      local key = base() .. 'd:' .. name
      local known = call('HGET', key, change.producer) or ''
      local is_new = known == '' and not change.forgotten
      return known ~= change.expected or (is_new and call('HLEN', key) >= MOST_PRODUCERS)
    end
    return change.content == REMOVED and call('EXISTS', base() .. 'f:' .. name) == 1
  end

  -- Whether all that a change says is so already.
  function made.changes_nothing(change)
    local is_more = change.life or change.forgotten or change.pin or change.unpin
    return change.content == SAME and not is_more and change.state == change.expected
  end

  function made.write_change(change, name, now)
    if change.content == PURGED then
      call('UNLINK', base() .. 's:' .. name)
    end
    if change.life then
      call('SET', base() .. 'l:' .. name, change.life)
    end
    if change.producer then
      call('HSET', base() .. 'd:' .. name, change.producer, change.state)
    end
    if change.forgotten then
      call('HDEL', base() .. 'd:' .. name, change.forgotten)
    end
    if change.pin then
      call('HSET', base() .. 'f:' .. name, change.pin, pack('>I8', now))
    end
    if change.unpin then
      call('HDEL', base() .. 'f:' .. name, change.unpin)
    end
  end

  return made
end

if operation == 'lapsed' then
  -- Each is given to one caller, and to another after a minute if it is still there.
  local now = clock()
  local names = call('ZRANGEBYSCORE', base() .. 'e', '-inf', string.format('%.0f', now), 'LIMIT', 0, 16)
  for _, name in ipairs(names) do
    call('ZADD', base() .. 'e', string.format('%.0f', now + 60000000), name)
  end
  table.insert(names, 1, head('D'))
  return names
end

if operation == 'forks' then
  local forks = call('HGETALL', base() .. 'f:' .. sub(KEYS[2], #KEYS[1] + 2))
  table.insert(forks, 1, head('D') .. pack('>I8', clock()))
  return forks
end

if operation == 'survey' then
  local channel = call('GET', KEYS[2])
  local name, producer = sub(KEYS[2], #KEYS[1] + 2), sub(settings, SETTINGS)
  local birth, seq, newest_at, state, life, _ = 0, 0, 0, 0, nil, nil
  if channel then
    birth, seq, newest_at, _, state = unpack(CHANNEL, channel)
    life = state >= 2 and lives().of(name) or nil
  end
  local forks, producers = call('EXISTS', base() .. 'f:' .. name), call('HLEN', base() .. 'd:' .. name)
  local reply = { '' }
  if producer ~= '' then
    local known = call('HGET', base() .. 'd:' .. name, producer)
    if known then
      reply = { '', producer, known }
    elseif producers >= MOST_PRODUCERS then
      reply = call('HGETALL', base() .. 'd:' .. name)
      table.insert(reply, 1, '')
    end
  end
  reply[1] = head('D') .. pack('>I8', clock()) .. lives().token(life, birth, seq, state)
    .. pack('>I8B', newest_at, forks) .. (life or '')
  return reply
end

