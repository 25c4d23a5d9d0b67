-- rights: returns the commands that scripts of this crate and of BullMQ call and that the user may
-- not run.
--
--   KEYS 1 an unused key with the queue's prefix
--
-- Redis checks the permissions of a script command by command, and some versions do not report
-- which command was denied. So this script tries all of them in advance. It ignores every other
-- reply, and removes the key at the end.

local calls = {
  { 'exists' }, { 'get' }, { 'hdel', 'a' }, { 'hexists', 'a' }, { 'hget', 'a' }, { 'hgetall' }, { 'hincrby', 'a', 1 },
  { 'hmget', 'a' }, { 'hmset', 'a', 1 }, { 'hset', 'a', 1 }, { 'incr' }, { 'llen' }, { 'lpos', 'a' }, { 'lpush', 'a' },
  { 'lrange', 0, 0 }, { 'lrem', 0, 'a' }, { 'ltrim', 0, 0 }, { 'persist' }, { 'pexpire', 1000 }, { 'pttl' },
  { 'rename', KEYS[1] }, { 'rpoplpush', KEYS[1] }, { 'rpush', 'a' }, { 'sadd', 'a' }, { 'scard' }, { 'set', 'a' },
  { 'smembers' }, { 'srem', 'a' }, { 'type' },
  { 'xadd', '*', 'a', 1 }, { 'xtrim', 'MAXLEN', 0 }, { 'zadd', 1, 'a' }, { 'zcard' }, { 'zpopmin' }, { 'zrange', 0, 0 },
  { 'zrangebyscore', 0, 1 }, { 'zrem', 'a' }, { 'zremrangebyrank', 0, 0 }, { 'zremrangebyscore', 0, 1 },
  { 'zrevrange', 0, 0 }, { 'zrevrangebyscore', 1, 0 }, { 'zscan', 0 }, { 'zscore', 'a' },
}

local function is_denied(...)
  local reply = redis.pcall(...)
  local error = type(reply) == 'table' and reply.err or ''
  -- Redis 6 and 7.0 reply with the first text, later versions with one of the others.
  return string.find(error, 'The user executing the script') or string.find(error, 'NOPERM')
    or string.find(error, 'ACL failure')
end

-- Without `del` the script must not create the key.
if is_denied('del', KEYS[1]) then return { 'del' } end
local missing = {}
for _, call in ipairs(calls) do
  if is_denied(call[1], KEYS[1], unpack(call, 2)) then missing[#missing + 1] = call[1] end
end
redis.call('del', KEYS[1])
return missing
