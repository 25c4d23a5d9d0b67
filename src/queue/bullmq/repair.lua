-- repair: removes jobs whose id is one of the queue's own keys, or `0`, which BullMQ reads as "no
-- job".
--
--   KEYS 1 wait  2 active  3 prioritized  4 delayed  5 completed  6 failed  7 meta
--        8 …: the other keys of the queue
--   ARGV 1 the prefix of all these keys  2 … the expected type of each of KEYS
--
-- Returns the removed ids. A job called `limiter` is a hash where the queue expects a number, and
-- then no client can add or fetch jobs. The overwritten content of the key is lost; BullMQ creates
-- it again on demand.

local fields = { 'name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'processedOn', 'ats', 'atm', 'stc', 'pb',
  'failedReason', 'stacktrace', 'finishedOn', 'returnvalue', 'progress', 'parent', 'parentKey', 'rjk', 'deid', 'defa' }
local names, removed = { ['0'] = redis.call('DEL', ARGV[1] .. '0') == 1 }, {}

for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local wrong = kind ~= 'none' and kind ~= ARGV[i + 1]
  if wrong then redis.call('DEL', key) end
  names[string.sub(key, #ARGV[1] + 1)] = wrong
end
-- The queue's settings are a hash like a job, so the fields distinguish them.
if redis.call('HDEL', KEYS[7], unpack(fields)) > 0 then names.meta = true end

for name, wrong in pairs(names) do
  local found = redis.call('LREM', KEYS[1], 0, name) + redis.call('LREM', KEYS[2], 0, name)
  for i = 3, 6 do found = found + redis.call('ZREM', KEYS[i], name) end
  redis.call('DEL', ARGV[1] .. name .. ':lock')
  if wrong or found > 0 then removed[#removed + 1] = name end
end
return removed
