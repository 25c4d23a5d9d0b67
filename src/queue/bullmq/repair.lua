-- mend: takes out jobs that somebody added under the name of one of the queue's own keys, or as
-- `0`, by which BullMQ means no job.
--
--   KEYS 1 wait  2 active  3 prioritized  4 delayed  5 completed  6 failed  7 meta  8 …: the other keys of the queue
--   ARGV 1 what all these keys begin with  2 … types, one for each of KEYS
--
-- Returns the ids that were taken out. A job called `limiter` is a hash where the queue keeps a
-- number, and then nobody can add or fetch anything any more. What was in the key's place is lost;
-- all of it is made anew by whoever needs it next.

local fields = { 'name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'processedOn', 'ats', 'atm', 'stc', 'pb', 'failedReason',
  'stacktrace', 'finishedOn', 'returnvalue', 'progress', 'parent', 'parentKey', 'rjk', 'deid', 'defa' }
local names, misnamed = { ['0'] = redis.call('DEL', ARGV[1] .. '0') == 1 }, {}

for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local wrong = kind ~= 'none' and kind ~= ARGV[i + 1]
  if wrong then redis.call('DEL', key) end
  names[string.sub(key, #ARGV[1] + 1)] = wrong
end
-- The queue's settings are a hash, as a job is: the fields tell them apart.
if redis.call('HDEL', KEYS[7], unpack(fields)) > 0 then names.meta = true end

for name, wrong in pairs(names) do
  local found = redis.call('LREM', KEYS[1], 0, name) + redis.call('LREM', KEYS[2], 0, name)
  for i = 3, 6 do found = found + redis.call('ZREM', KEYS[i], name) end
  redis.call('DEL', ARGV[1] .. name .. ':lock')
  if wrong or found > 0 then misnamed[#misnamed + 1] = name end
end
return misnamed
