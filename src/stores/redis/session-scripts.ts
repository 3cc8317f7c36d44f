import { script } from "./redis-client.js";

/*
 * A session is one hash, so that it is in one slot, expires as a whole and moves to another server in one step:
 *   meta      its metadata as JSON
 *   rev       its revision
 *   n         how many messages it has
 *   entry     its entry in the index, another one with each change of the metadata or the messages
 *   draft     its draft as JSON, and
 *   draft_of  the id of the draft's prompt as JSON, where it has one
 *   0, 1, …   its messages as JSON
 * A script takes effect as a whole, or not at all.
 */

/** Nothing where there is no session, else its metadata, revision, count and entry. */
const STATE = `
local function state()
  if redis.call('EXISTS', KEYS[1]) == 0 then
    return {}
  end
  return redis.call('HMGET', KEYS[1], 'meta', 'rev', 'n', 'entry')
end
local function expire(ms)
  if ms == '0' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[1], ms)
  end
end
`;

export const READ_STATE = script(`${STATE} return state()`);

/** All fields and values, in no order: one moment of the session. */
export const READ_ALL = script(`return redis.call('HGETALL', KEYS[1])`);

/**
 * Writes what was decided on a state, if that still is the state; else nothing.
 * Arguments: the entry of that state (empty: no session), the new entry, metadata and revision, the number of messages
 * that stay (-1: metadata alone are written), milliseconds to live, the ids of the messages, and the messages, any number
 * of lines an argument.
 */
export const WRITE = script(`
${STATE}
local now = state()
if (now[4] or '') ~= ARGV[1] or (ARGV[1] == '' and #now > 0) then
  return {'moved'}
end
local kept = tonumber(ARGV[5])
local draft = redis.call('HMGET', KEYS[1], 'draft', 'draft_of')
if kept == 0 then
  redis.call('UNLINK', KEYS[1])
  if draft[1] then
    redis.call('HSET', KEYS[1], 'draft', draft[1])
  end
  if draft[2] then
    redis.call('HSET', KEYS[1], 'draft_of', draft[2])
  end
end
redis.call('HSET', KEYS[1], 'entry', ARGV[2], 'meta', ARGV[3], 'rev', ARGV[4])
if kept >= 0 then
  local part = {}
  local count = kept
  for i = 8, #ARGV do
    for text in string.gmatch(ARGV[i], '[^\\n]+') do
      part[#part + 1] = string.format('%.0f', count)
      part[#part + 1] = text
      count = count + 1
      if #part == 2000 then
        redis.call('HSET', KEYS[1], unpack(part))
        part = {}
      end
    end
  end
  if #part > 0 then
    redis.call('HSET', KEYS[1], unpack(part))
  end
  redis.call('HSET', KEYS[1], 'n', string.format('%.0f', count))
end
if draft[2] and string.find(ARGV[7], '\\n' .. draft[2] .. '\\n', 1, true) then
  redis.call('HDEL', KEYS[1], 'draft', 'draft_of')
end
expire(ARGV[6])
return {'done'}
`);

/** Arguments: milliseconds to live; the draft, and its prompt's id where it has one: without a draft it is removed. */
export const SET_DRAFT = script(`
${STATE}
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'missing'}
end
redis.call('HDEL', KEYS[1], 'draft', 'draft_of')
if ARGV[2] then
  redis.call('HSET', KEYS[1], 'draft', ARGV[2])
end
if ARGV[3] then
  redis.call('HSET', KEYS[1], 'draft_of', ARGV[3])
end
expire(ARGV[1])
return {'done'}
`);

/** Whether there was a session, and its entry: whatever is there under the key is deleted. */
export const DELETE = script(`
local entry = redis.pcall('HGET', KEYS[1], 'entry')
local found = redis.call('UNLINK', KEYS[1])
return {tostring(found), type(entry) == 'string' and entry or ''}
`);
