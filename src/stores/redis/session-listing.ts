import { SessionError } from "../../errors.js";
import { apply_query } from "../../metadata.js";
import type { SessionMetadata, SessionQuery } from "../../types.js";
import { scan_keys, type RedisSessionClient } from "./redis-client.js";
import { ascending, from_position, id_of_key, key_pattern, parent_mark, position_of } from "./redis-keys.js";
import { place_of_entry, type IndexMember, type SessionIndex } from "./session-index.js";
import { damaged_entry, read_entry, type RawState, type SessionRecords } from "./session-records.js";

/** How many sessions are read at once. */
const PORTION = 500;

/** A session as the index led to it. */
interface Sighting {
  id: string;
  /** Of the session's state; `undefined` where there is no such session. */
  metadata: SessionMetadata | undefined;
  /** No session is, or will be, in the state of this member. */
  is_past: boolean;
}

/**
 * One page of the list. The index says where to look, the sessions say what is there; what the index has too much is
 * dropped on the way. A session that moves meanwhile is seen at its old or its new place, and never missed.
 */
export async function list_sessions(
  index: SessionIndex,
  records: SessionRecords,
  query?: SessionQuery | null,
): Promise<SessionMetadata[]> {
  apply_query([], query); // for its judgement of the limit
  const { limit, before, parent_id, kinds } = query ?? {};
  if (limit === 0 || kinds?.length === 0) {
    return [];
  }
  const shelves = shelves_of(query);
  const kind_marks = parent_id !== undefined && kinds !== undefined ? kinds.map((kind) => ascending(kind)) : undefined;
  const found = new Map<string, SessionMetadata>();
  let after = before === undefined ? "" : `${position_of(before)}!`;
  for (;;) {
    const count = limit === undefined ? PORTION : Math.min(PORTION, limit - matching(found, query).length);
    const members = await index.page(shelves, after, kind_marks ? PORTION : count);
    const is_end = members.length < (kind_marks ? PORTION : count);
    const wanted = members.filter(({ entry }) => kind_marks?.includes(place_of_entry(entry).kind) ?? true);
    const sightings = await look_at(records, wanted);
    after = members.at(-1)?.entry ?? after;
    for (const { id, metadata } of sightings) {
      if (metadata !== undefined && (is_end || `${position_of(metadata)} ` <= after)) {
        found.set(id, metadata); // what has moved further back is met there
      }
    }
    await forget(
      index,
      wanted.filter((_, at) => sightings[at]?.is_past === true),
    );
    if (is_end || (limit !== undefined && matching(found, query).length >= limit)) {
      return matching(found, query);
    }
  }
}

function matching(found: ReadonlyMap<string, SessionMetadata>, query?: SessionQuery | null): SessionMetadata[] {
  return apply_query([...found.values()], query);
}

/** The shelves that hold all that a query may want. */
function shelves_of(query?: SessionQuery | null): string[] {
  const { parent_id, kinds } = query ?? {};
  if (parent_id !== undefined) {
    return [`p${parent_mark(String(parent_id))}`];
  }
  return kinds === undefined ? ["a"] : [...new Set(kinds)].map((kind) => `k${ascending(String(kind))}`);
}

async function look_at(records: SessionRecords, members: readonly IndexMember[]): Promise<Sighting[]> {
  const ids = members.map(({ entry }) => from_position(place_of_entry(entry).position).id);
  const states = await records.states(ids);
  return members.map(({ entry, is_being_written }, at) => {
    const [id, state] = [ids[at] as string, states[at]];
    if (state instanceof SessionError) {
      return { id, metadata: damaged_entry(id, state, entry), is_past: false };
    }
    const is_past = !is_being_written && (state === undefined || (state.entry !== undefined && state.entry !== entry));
    return { id, metadata: state && read_entry(id, state, entry), is_past };
  });
}

async function forget(index: SessionIndex, members: readonly IndexMember[]): Promise<void> {
  if (members.length > 0) {
    await index.drop(members.map(({ member }) => member));
  }
}

/** Drops what has expired of these members, and looks at the others again later. */
export async function sweep(
  index: SessionIndex,
  records: SessionRecords,
  expired: readonly string[],
  again_ms: number,
): Promise<void> {
  const members = expired.map((member) => {
    const entry = member.slice(member.indexOf(" ") + 1);
    return { member, entry, is_being_written: false };
  });
  const sightings = await look_at(records, members);
  const [past, alive] = [true, false].map((is_past) => members.filter((_, at) => sightings[at]?.is_past === is_past));
  await forget(index, past ?? []);
  if (alive !== undefined && alive.length > 0) {
    const again = alive.map(({ member }) => member);
    await index.ask_later(again, again_ms);
  }
}

/** Enters every session that there is, of every master, and drops the entries of those that are not. Returns how many there are. */
export async function rebuild(
  client: RedisSessionClient,
  prefix: string,
  index: SessionIndex,
  records: SessionRecords,
): Promise<number> {
  for await (const keys of scan_keys(client, key_pattern(prefix))) {
    const ids = keys.map((key) => id_of_key(prefix, key)).filter((id) => id !== undefined);
    const states = await records.states(ids);
    const there = states.flatMap((state, at) => (state === undefined ? [] : [entry_for(ids[at] as string, state)]));
    if (there.length > 0) {
      await index.add(there);
    }
  }
  return (await list_sessions(index, records)).length;
}

/** The entry that a session names; a damaged one, which names none, gets one at the end of the list. */
function entry_for(id: string, state: RawState | SessionError): string {
  const named = state instanceof SessionError ? undefined : state.entry;
  return named ?? `${position_of({ updated_at: new Date(0).toISOString(), id })} 0-0 - root `;
}
