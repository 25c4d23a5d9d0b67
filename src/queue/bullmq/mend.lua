-- mend: takes out jobs that somebody added under the name of one of the queue's own keys.
--
--   KEYS 1 wait  2 active  3 prioritized  4 delayed  5 completed  6 failed  7 meta  8 …: the other keys of the queue
--   ARGV 1 what all these keys begin with  2 … types, one for each of KEYS
--
-- Returns the ids that were taken out. A job called `limiter` is a hash where the queue keeps a number, and then nobody can add or fetch
-- anything any more. What was in the key's place is lost; all of it is made anew by whoever needs it next.

local own = { 'name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'processedOn', 'ats', 'atm', 'stc', 'pb', 'failedReason',
  'stacktrace', 'finishedOn', 'returnvalue', 'progress', 'parent', 'parentKey', 'rjk', 'deid', 'defa' }
local misnamed = {}

local function take_out(key) misnamed[#misnamed + 1] = string.sub(key, #ARGV[1] + 1) end

for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= ARGV[i + 1] then
    redis.call('DEL', key)
    take_out(key)
  end
end
-- The queue's settings are a hash, as a job is: the fields tell them apart.
if redis.call('HEXISTS', KEYS[7], 'timestamp') == 1 then
  redis.call('HDEL', KEYS[7], unpack(own))
  take_out(KEYS[7])
end

for _, id in ipairs(misnamed) do
  redis.call('LREM', KEYS[1], 0, id)
  redis.call('LREM', KEYS[2], 0, id)
  for i = 3, 6 do redis.call('ZREM', KEYS[i], id) end
end
return misnamed
