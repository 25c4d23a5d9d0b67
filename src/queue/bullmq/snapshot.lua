-- snapshot: reads the state of jobs, the first waiting priority, and whether a worker would get a
-- job now. Claims the prefix for a ledger if no ledger owns it; writes nothing else.
--
--   KEYS 1 wait  2 active  3 prioritized  4 delayed  5 completed  6 failed  7 meta  8 limiter
--        9 …: the other keys of the queue; the last one has the identity of the prefix's ledger
--   ARGV 1 the prefix of the queue's keys  2 the number of starts per window of the rate limit, 0
--        for none  3 the latest due time of a delayed job, in milliseconds  4 the identity of the
--        ledger, or an empty text to claim nothing  5 the number of the queue's keys  6 …: the
--        types of these, then the ids
--
-- Returns {head, ready, code …}. head is the lowest waiting priority, or 0 if no job or one without
-- priority is waiting. ready is 1 if a job is waiting and neither a pause nor a limit stops it.
-- Each code is 0 for an absent job, 1 for an open one, 2 for one that is finished or delayed beyond
-- the latest due time, and 2 plus the priority for one that is waiting with a priority. Returns {}
-- if a job has a reserved id, see repair.lua, and {0} if the prefix belongs to another ledger.
--
-- This is one script and not a pipeline, so that a job which changes its state is seen once.

local keys = tonumber(ARGV[5])
if ARGV[4] ~= '' and not redis.call('SET', KEYS[keys + 1], ARGV[4], 'NX') then
  if redis.call('GET', KEYS[keys + 1]) ~= ARGV[4] then return { 0 } end
end
local names = { ['0'] = true }
for i = 1, keys do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= ARGV[5 + i] then return {} end
  names[string.sub(KEYS[i], #ARGV[1] + 1)] = true
end
-- If BullMQ has created the key again, a job of that name can't run and is delivered without end.
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if names[id] then return {} end
end
if redis.call('HEXISTS', KEYS[7], 'timestamp') == 1 then return {} end

local first_id = 6 + keys
local function members(list)
  local set = {}
  if not ARGV[first_id] then return set end
  for _, id in ipairs(redis.call('LRANGE', list, 0, -1)) do set[id] = true end
  return set
end

-- Our jobs have a priority, so `wait` contains only jobs of other clients.
local wait, active = members(KEYS[1]), members(KEYS[2])
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local plain = redis.call('LLEN', KEYS[1]) > 0
local head = 0
if not plain and first[2] then head = math.floor(tonumber(first[2]) / 4294967296) end

local meta = redis.call('HMGET', KEYS[7], 'paused', 'concurrency')
local full = meta[2] and redis.call('LLEN', KEYS[2]) >= tonumber(meta[2])
local limit = tonumber(ARGV[2])
local limited = limit > 0 and tonumber(redis.call('GET', KEYS[8]) or 0) >= limit
local ready = (plain or first[1]) and not meta[1] and not full and not limited

local latest_due = tonumber(ARGV[3])

local function code(id)
  if redis.call('EXISTS', ARGV[1] .. id) == 0 then return 0 end
  if active[id] or wait[id] then return 1 end
  local score = redis.call('ZSCORE', KEYS[3], id)
  if score then return 2 + math.floor(tonumber(score) / 4294967296) end
  local due = redis.call('ZSCORE', KEYS[4], id)
  if due and tonumber(due) / 4096 <= latest_due then return 1 end
  return 2
end

local reply = { head, ready and 1 or 0 }
for i = first_id, #ARGV do reply[#reply + 1] = code(ARGV[i]) end
return reply
