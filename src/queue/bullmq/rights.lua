-- rights: which commands the user may not run that scripts of ours and of BullMQ's call.
--
--   KEYS 1 a key that begins as all of the queue do, and that nothing else uses
--
-- Returns their names. Redis checks a script's rights one by one as it runs, and some versions do
-- not say which one was missing. So all are tried before anything depends on them. What else Redis
-- says to these calls is of no interest; the key is removed at the end.

local calls = {
  { 'exists' }, { 'get' }, { 'hdel', 'a' }, { 'hexists', 'a' }, { 'hget', 'a' }, { 'hgetall' }, { 'hincrby', 'a', 1 },
  { 'hmget', 'a' }, { 'hmset', 'a', 1 }, { 'hset', 'a', 1 }, { 'incr' }, { 'llen' }, { 'lpos', 'a' }, { 'lpush', 'a' },
  { 'lrange', 0, 0 }, { 'lrem', 0, 'a' }, { 'ltrim', 0, 0 }, { 'persist' }, { 'pexpire', 1000 }, { 'pttl' }, { 'rename', KEYS[1] },
  { 'rpoplpush', KEYS[1] }, { 'rpush', 'a' }, { 'sadd', 'a' }, { 'scard' }, { 'set', 'a' }, { 'smembers' }, { 'srem', 'a' }, { 'type' },
  { 'xadd', '*', 'a', 1 }, { 'xtrim', 'MAXLEN', 0 }, { 'zadd', 1, 'a' }, { 'zcard' }, { 'zpopmin' }, { 'zrange', 0, 0 },
  { 'zrangebyscore', 0, 1 }, { 'zrem', 'a' }, { 'zremrangebyrank', 0, 0 }, { 'zremrangebyscore', 0, 1 }, { 'zrevrange', 0, 0 },
  { 'zrevrangebyscore', 1, 0 }, { 'zscan', 0 }, { 'zscore', 'a' },
}

local function is_refused(...)
  local said = redis.pcall(...)
  local error = type(said) == 'table' and said.err or ''
  -- Redis 6 and 7.0 say the first, later versions one of the others.
  return string.find(error, 'The user executing the script') or string.find(error, 'NOPERM') or string.find(error, 'ACL failure')
end

-- Who can't remove the key must not make it.
if is_refused('del', KEYS[1]) then return { 'del' } end
local missing = {}
for _, call in ipairs(calls) do
  if is_refused(call[1], KEYS[1], unpack(call, 2)) then missing[#missing + 1] = call[1] end
end
redis.call('del', KEYS[1])
return missing
