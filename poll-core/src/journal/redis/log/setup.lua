-- Everything that reads or changes a partition, each time in one atomic step: this, then life.lua, then
-- script.lua. What is called how is in script/*.rs; what the keys hold is in ARCHITECTURE.md.
--
-- KEYS[1] is the record of the partition, KEYS[2] that of the channel, KEYS[3] its stream, KEYS[4] and KEYS[5] its
-- idempotency keys. ARGV[1] is the operation, ARGV[2] what the caller knows and its settings, packed. Keys that only the
-- script can name (the channels by last use, the reigns, a channel that makes room) have the same hash tag.
--
-- All checks come before the first write, which is always SET or MSET: unlike UNLINK, Redis refuses it when it is out of memory.
-- Numbers stay below 2^53; text never holds a number as Lua prints it.

local call, pack, unpack, sub = redis.call, struct.pack, struct.unpack, string.sub
local operation, settings = ARGV[1], ARGV[2]

local generation, count, sealed, reign, process = 0, 0, 0, 0, ''
-- Each command costs about a microsecond, so what belongs together is read and written together.
local record, channel
if operation == 'publish' then
  local found = call('MGET', KEYS[1], KEYS[2])
  record, channel = found[1], found[2]
else
  record = call('GET', KEYS[1])
end
if record then
  generation, count, sealed, reign, process = unpack('>I4I8I8I8c8', record)
end
local known, known_count, known_reign, this_process = unpack('>I4I8I8c8', settings)
local SETTINGS = 29

local function base()
  return sub(KEYS[1], 1, -2)
end

-- What every reply begins with.
local function head(verdict)
  return pack('>c1I4I8I8', verdict, generation, count, reign)
end

if operation ~= 'renew' then
  if generation > known then
    return head('R')
  end
  local lost = generation < known or not record or count < known_count
  if not lost and reign ~= known_reign then
    -- Reigns that began below what the caller has seen under an earlier one.
    for _, begun in ipairs(call('LRANGE', base() .. 'r', 0, -1)) do
      local since, from = unpack('>I8I8', begun)
      if since == known_reign then
        break
      end
      lost = lost or from < known_count
    end
  end
  if lost then
    return head('L')
  end
end

local function clock()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The record of the partition, changed, and with it that of the channel, if given. A process that writes for the first
-- time begins a reign.
local function save(changes, now, channel_record)
  local from, begins = count, process ~= this_process
  count = count + changes
  if begins then
    process, reign = this_process, now
  end
  record = pack('>I4I8I8I8c8', generation, count, sealed, reign, process)
  if channel_record then
    call('MSET', KEYS[1], record, KEYS[2], channel_record)
  else
    call('SET', KEYS[1], record)
  end
  if begins then
    call('LPUSH', base() .. 'r', pack('>I8I8', reign, from))
    call('LTRIM', base() .. 'r', 0, 15)
  end
end

local function announce(sharded, text)
  call(sharded and 'SPUBLISH' or 'PUBLISH', base() .. 'n', text)
end

-- The record of a channel: birth, newest number and its time, the greatest time given out or sealed, its state (1 if it
-- is closed, and 2 if it has a life), when its bounds are looked at next and for which age, until when its keys certainly do
-- not expire, when time was last sealed ahead of the clock.
local CHANNEL = '>I4I8I8I8BI8I8I8'

