-- look: where jobs are, who is first in line, and whether a worker would get one now. It only
-- reads.
--
--   KEYS 1 wait  2 active  3 prioritized  4 delayed  5 completed  6 failed  7 meta  8 limiter  9 …: the other keys of the queue
--   ARGV 1 what the keys of jobs begin with  2 starts in a window of the rate limit, 0 for no limit
--        3 the latest time, in milliseconds, that a delayed job may have  4 how many of KEYS, with their types behind  then ids
--
-- Returns {head, ready, state …}: head is the lowest priority waiting, 0 when none waits or one
-- without priority does; ready is 1 when something waits and neither a pause nor a limit holds it;
-- a state is 0 absent, 1 to be worked or being worked, 2 over, or where a worker does not get to
-- see it in time, and 2 and the priority of a job that waits with one. Returns {} when a job has
-- the name of a key of the queue, see mend.lua.
--
-- One script and not a pipeline, so that a job that moves on meanwhile is seen once, in one place.

local keys = tonumber(ARGV[4])
local names = { ['0'] = true }
for i = 1, keys do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= ARGV[4 + i] then return {} end
  names[string.sub(KEYS[i], #ARGV[1] + 1)] = true
end
-- Where the key was made anew, a job of that name can't be worked, and comes up again and again.
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if names[id] then return {} end
end
if redis.call('HEXISTS', KEYS[7], 'timestamp') == 1 then return {} end

local first_id = 5 + keys
local function members(list)
  local set = {}
  if not ARGV[first_id] then return set end
  for _, id in ipairs(redis.call('LRANGE', list, 0, -1)) do set[id] = true end
  return set
end

-- Jobs of ours have a priority, so `wait` is empty but for what other tools put there.
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

local latest = tonumber(ARGV[3])

local function state(id)
  if redis.call('EXISTS', ARGV[1] .. id) == 0 then return 0 end
  if active[id] or wait[id] then return 1 end
  local score = redis.call('ZSCORE', KEYS[3], id)
  if score then return 2 + math.floor(tonumber(score) / 4294967296) end
  local due = redis.call('ZSCORE', KEYS[4], id)
  if due and tonumber(due) / 4096 <= latest then return 1 end
  return 2
end

local answer = { head, ready and 1 or 0 }
for i = first_id, #ARGV do answer[#answer + 1] = state(ARGV[i]) end
return answer
