import { MAKE_ENTRY, SHELVES } from "./index-scripts.js";
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
  local found = redis.call('HMGET', KEYS[1], 'meta', 'rev', 'n', 'entry')
  if found[1] or found[2] or found[3] or found[4] or redis.call('EXISTS', KEYS[1]) == 1 then
    return found
  end
  return {}
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

/** Of each key its metadata, revision, count and entry, or four times nothing: what that means is to be asked for. */
export const READ_STATES = script(`
local reply = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('HMGET', key, 'meta', 'rev', 'n', 'entry')
  for field = 1, 4 do
    reply[4 * i - 4 + field] = not found.err and found[field]
  end
end
return reply
`);

/** All fields and values, in no order: one moment of the session. */
export const READ_ALL = script(`return redis.call('HGETALL', KEYS[1])`);

/*
 * Writes what was decided on a state. The arguments begin with:
 *   1  the entry of that state; empty: no session
 *   2  the digest of its metadata, revision and count, where it was not read but remembered; else empty
 *   3  the new metadata, 4  the new revision
 *   5  the number of messages that stay; -1: metadata alone are written
 *   6  milliseconds to live
 *   7  the ids of the messages, a line each
 * Behind others of the script come the messages, any number of lines an argument.
 */
const WRITING = `
${STATE}
local function is_moved(now)
  if (now[4] or '') ~= ARGV[1] or (ARGV[1] == '' and #now > 0) then
    return true
  end
  return ARGV[2] ~= '' and redis.sha1hex((now[1] or '') .. '\\n' .. (now[2] or '') .. '\\n' .. (now[3] or '')) ~= ARGV[2]
end
local function write(entry, first)
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
  local part = {'entry', entry, 'meta', ARGV[3], 'rev', ARGV[4]}
  if kept >= 0 then
    local count = kept
    for i = first, #ARGV do
      local from = 1
      while from <= #ARGV[i] do
        local to = string.find(ARGV[i], '\\n', from, true) or #ARGV[i] + 1
        part[#part + 1] = string.format('%.0f', count)
        part[#part + 1] = string.sub(ARGV[i], from, to - 1)
        count = count + 1
        from = to + 1
        if #part >= 2000 then
          redis.call('HSET', KEYS[1], unpack(part))
          part = {}
        end
      end
    end
    part[#part + 1] = 'n'
    part[#part + 1] = string.format('%.0f', count)
  end
  redis.call('HSET', KEYS[1], unpack(part))
  if draft[2] and string.find(ARGV[7], '\\n' .. draft[2] .. '\\n', 1, true) then
    redis.call('HDEL', KEYS[1], 'draft', 'draft_of')
  end
  expire(ARGV[6])
end
`;

/** Argument 8: the new entry, which is in the index. */
export const WRITE = script(`
${WRITING}
local now = state()
if is_moved(now) then
  return {'moved', now[4]}
end
write(ARGV[8], 9)
return {'done'}
`);

/**
 * The same with the index as the second key, which is tidy after it. Arguments 8 to 11: position, random, kind, parent.
 * Returns the new entry and a few members for sessions that may have expired; of what has moved, the entry that it has.
 */
export const WRITE_AND_ENTER = script(`
${WRITING}
${SHELVES}
${MAKE_ENTRY}
local now = state()
if is_moved(now) then
  return {'moved', now[4]}
end
local time = clock()
local entry = make_entry(time, ARGV[8], ARGV[9], ARGV[6], ARGV[10], ARGV[11])
add(entry, false)
write(entry, 12)
if ARGV[1] ~= '' then
  remove(ARGV[1])
end
return append_expired({'done', entry}, time)
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
