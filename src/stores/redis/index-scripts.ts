import { script } from "./redis-client.js";

/*
 * The index, which is the last of a script's keys, is one sorted set whose scores are all 0, so that its order is that of the bytes. An entry is
 *   <position> <when made>-<random> <when it expires, or -> <kind> <parent, or empty>
 * without a space in any part, and never the same twice. It stands on several shelves, each a first word:
 *   a           all sessions
 *   k<kind>     those of a kind
 *   p<parent>   those of a parent
 *   x<time>     when to look whether the session has expired
 *   w           its session is being written
 */
export const SHELVES = `
local index = KEYS[#KEYS]
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function digits(ms)
  return string.format('%013.0f', ms)
end
local function shelves(entry)
  local expiry, kind, parent = string.match(entry, '^%S+ %S+ (%S+) (%S*) (%S*)$')
  if not expiry then
    return {'a ' .. entry}
  end
  local all = {'a ' .. entry, 'k' .. kind .. ' ' .. entry}
  if parent ~= '' then
    all[#all + 1] = 'p' .. parent .. ' ' .. entry
  end
  if expiry ~= '-' then
    all[#all + 1] = 'x' .. expiry .. ' ' .. entry
  end
  return all
end
local function add(entry, being_written)
  local given = {}
  for _, member in ipairs(shelves(entry)) do
    given[#given + 1] = '0'
    given[#given + 1] = member
  end
  if being_written then
    given[#given + 1] = '0'
    given[#given + 1] = 'w ' .. entry
  end
  redis.call('ZADD', index, unpack(given))
end
local function remove(entry)
  redis.call('ZREM', index, 'w ' .. entry, unpack(shelves(entry)))
end
`;

/** Whether somebody may be about to write the session of an entry. */
const BEING_WRITTEN = `
local function being_written(entry, now)
  if not redis.call('ZSCORE', index, 'w ' .. entry) then
    return false
  end
  local made = string.match(entry, '^%S+ (%d+)-')
  return made ~= nil and now - tonumber(made) < 60000
end
local function entry_of(member)
  return string.sub(member, (string.find(member, ' ', 1, true) or 0) + 1)
end
`;

/** A new entry, of a state that is or will be written. */
export const MAKE_ENTRY = `
local function make_entry(now, position, random, ttl, kind, parent)
  local expiry = '-'
  if ttl ~= '0' then
    expiry = digits(now + tonumber(ttl))
  end
  return table.concat({position, digits(now) .. '-' .. random, expiry, kind, parent}, ' ')
end
`;

/** Adds a few members for sessions that may have expired. */
export const EXPIRED = `
${BEING_WRITTEN}
local function append_expired(reply, now)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', index, '[x', '(x' .. digits(now), 'LIMIT', 0, 16)) do
    if not being_written(entry_of(member), now) then
      reply[#reply + 1] = member
    end
  end
  return reply
end
`;

/**
 * Makes an entry of a state that is about to be written. Arguments: position, random, milliseconds to live, kind, parent.
 * Returns it, and a few members for sessions that may have expired.
 */
export const BEGIN = script(`
${SHELVES}
${MAKE_ENTRY}
${EXPIRED}
local now = clock()
local entry = make_entry(now, unpack(ARGV))
add(entry, true)
return append_expired({entry}, now)
`);

/**
 * The state of the first entry is written, those of the others are past. Where somebody took the entry away meanwhile,
 * it comes back, and nobody may do that again for a while.
 */
export const FINISH = script(`
${SHELVES}
if redis.call('ZREM', index, 'w ' .. ARGV[1]) == 0 then
  add(ARGV[1], true)
end
for i = 2, #ARGV do
  remove(ARGV[i])
end
return {}
`);

/** Entries that are not to be there. */
export const REMOVE = script(`
${SHELVES}
for i = 1, #ARGV do
  remove(ARGV[i])
end
return {}
`);

/** Entries that are to be there. */
export const ADD = script(`
${SHELVES}
for i = 1, #ARGV do
  add(ARGV[i], false)
end
return {}
`);

/** Members whose entries are of no session, unless it is being written. */
export const DROP = script(`
${SHELVES}
${BEING_WRITTEN}
local now = clock()
for i = 1, #ARGV do
  local entry = entry_of(ARGV[i])
  if not being_written(entry, now) then
    redis.call('ZREM', index, ARGV[i])
    remove(entry)
  end
end
return {}
`);

/** Members that were to be looked at, and are to be again. Arguments: in how many milliseconds, members. */
export const LATER = script(`
${SHELVES}
${BEING_WRITTEN}
local time = digits(clock() + tonumber(ARGV[1]))
for i = 2, #ARGV do
  redis.call('ZREM', index, ARGV[i])
  redis.call('ZADD', index, 0, 'x' .. time .. ' ' .. entry_of(ARGV[i]))
end
return {}
`);

/**
 * Members of shelves in order, all as they stand at one moment. Arguments: how many of each shelf at most, behind what
 * (empty: from the beginning), shelves.
 */
export const PAGE = script(`
local reply = {}
for i = 3, #ARGV do
  local first = '[' .. ARGV[i] .. ' '
  if ARGV[2] ~= '' then
    first = '(' .. ARGV[i] .. ' ' .. ARGV[2]
  end
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], first, '(' .. ARGV[i] .. '!', 'LIMIT', 0, ARGV[1])) do
    reply[#reply + 1] = member
  end
end
return reply
`);
