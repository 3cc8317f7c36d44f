import { EXPIRED, MAKE_ENTRY, SHELVES } from "./index-scripts.js";
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

/** Milliseconds to live; `0`: for ever. */
const EXPIRE = `
local function expire(ms)
  if ms == '0' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[1], ms)
  end
end
`;

/** Nothing where there is no session, else its metadata, revision, count and entry. */
export const READ_STATE = script(`
local found = redis.call('HMGET', KEYS[1], 'meta', 'rev', 'n', 'entry')
if found[1] or found[2] or found[3] or found[4] or redis.call('EXISTS', KEYS[1]) == 1 then
  return found
end
return {}
`);

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
 *   2 to 4  its metadata, revision and count, where they were not read but remembered; else empty
 *   5  the new metadata, 6  the new revision
 *   7  the number of messages that stay; -1: metadata alone are written
 *   8  milliseconds to live
 *   9  the ids of the messages, a line each
 * Behind others of the script come the messages, any number of lines an argument.
 */
const UNLESS_MOVED = `
local now = redis.call('HMGET', KEYS[1], 'meta', 'rev', 'n', 'entry', 'draft', 'draft_of')
local is_moved = (now[4] or '') ~= ARGV[1]
if ARGV[1] == '' then
  is_moved = is_moved or redis.call('EXISTS', KEYS[1]) == 1
elseif ARGV[2] ~= '' then
  is_moved = is_moved or now[1] ~= ARGV[2] or now[2] ~= ARGV[3] or now[3] ~= ARGV[4]
end
if is_moved then
  return {'moved', now[4]}
end
`;

/** Writes the session with \`entry\`; the messages begin with the argument \`first\`. */
const WRITE_SESSION = `
local kept = tonumber(ARGV[7])
local part = {'entry', entry, 'meta', ARGV[5], 'rev', ARGV[6]}
local is_void = now[6] and string.find(ARGV[9], '\\n' .. now[6] .. '\\n', 1, true)
if kept == 0 then
  local count = now[6] and not is_void and math.min(tonumber(now[3]) or 0, redis.call('HLEN', KEYS[1])) or 0
  for i = 0, count - 1 do
    local text = redis.call('HGET', KEYS[1], i)
    if text and string.find(text, now[6], 1, true) then
      local is_read, message = pcall(cjson.decode, text)
      is_void = is_void or is_read and type(message) == 'table' and message.id == cjson.decode('[' .. now[6] .. ']')[1]
    end
  end
  redis.call('UNLINK', KEYS[1])
  for field, value in pairs({draft = now[5] or nil, draft_of = now[6] or nil}) do
    part[#part + 1] = field
    part[#part + 1] = value
  end
end
if kept >= 0 then
  local count = kept
  local function put(text)
    if #part >= 2000 then
      redis.call('HSET', KEYS[1], unpack(part))
      part = {}
    end
    part[#part + 1] = count
    part[#part + 1] = text
    count = count + 1
  end
  for i = first, #ARGV do
    local from, to = 1, string.find(ARGV[i], '\\n', 1, true)
    while to do
      put(string.sub(ARGV[i], from, to - 1))
      from, to = to + 1, string.find(ARGV[i], '\\n', to + 1, true)
    end
    put(from == 1 and ARGV[i] or string.sub(ARGV[i], from))
  end
  part[#part + 1] = 'n'
  part[#part + 1] = count
end
redis.call('HSET', KEYS[1], unpack(part))
if is_void then
  redis.call('HDEL', KEYS[1], 'draft', 'draft_of')
end
expire(ARGV[8])
`;

/** Argument 10: the new entry, which is in the index. */
export const WRITE = script(`
${EXPIRE}
${UNLESS_MOVED}
local entry, first = ARGV[10], 11
${WRITE_SESSION}
return {'done'}
`);

/**
 * The same with the index as the second key, which is tidy after it. Arguments 10 to 13: position, random, kind, parent;
 * 14: whether to look for what has expired. Returns the new entry and a few members for sessions that may have expired;
 * of what has moved, the entry that it has.
 */
export const WRITE_AND_ENTER = script(`
${EXPIRE}
${UNLESS_MOVED}
${SHELVES}
${MAKE_ENTRY}
local time = clock()
local entry, first = make_entry(time, ARGV[10], ARGV[11], ARGV[8], ARGV[12], ARGV[13]), 15
add(entry, false)
${WRITE_SESSION}
if ARGV[1] ~= '' then
  remove(ARGV[1])
end
if ARGV[14] == '' then
  return {'done', entry}
end
${EXPIRED}
return append_expired({'done', entry}, time)
`);

/** Arguments: milliseconds to live; the draft, and its prompt's id where it has one: without a draft it is removed. */
export const SET_DRAFT = script(`
${EXPIRE}
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
