import { SessionError } from "../../errors.js";
import { apply_query, require_query } from "../../metadata.js";
import type { SessionMetadata, SessionQuery } from "../../types.js";
import { scan_keys, type RedisSessionClient } from "./redis-client.js";
import { ascending, from_position, id_of_key, key_pattern, parent_mark, position_of } from "./redis-keys.js";
import { place_of_entry, type IndexMember, type SessionIndex } from "./session-index.js";
import { damaged_entry, read_entry, type RawState, type SessionRecords } from "./session-records.js";

/** How many sessions are read at once. */
const PORTION = 500;
/** How many times as many entries are looked at where some of a list led to nothing that was asked for. */
const GROWTH = 4;

/** A session as the index led to it. */
interface Sighting {
  id: string;
  /** Of the session's state; `undefined` where there is no such session. */
  metadata: SessionMetadata | undefined;
  /** No session is in the state of this member; one may be about to be. */
  is_past: boolean;
}

/**
 * The list, or its beginning. The index says where to look, all of it at one moment; the sessions say what is there. What
 * the index has too much is dropped on the way. A session that moves meanwhile is seen at its old or its new place, and
 * never missed.
 */
export async function list_sessions(
  index: SessionIndex,
  records: SessionRecords,
  query?: SessionQuery | null,
): Promise<SessionMetadata[]> {
  require_query(query);
  const { limit, before, parent_id, kinds } = query ?? {};
  if (limit === 0 || kinds?.length === 0) {
    return [];
  }
  const shelves = shelves_of(query);
  const kind_marks = parent_id !== undefined && kinds ? kinds.map((kind) => ascending(kind)) : undefined;
  const first = before ? `${position_of(before)}!` : "";
  for (let count = limit === undefined ? -1 : kind_marks ? Math.max(limit, PORTION) : limit; ; count *= GROWTH) {
    const members = await index.page(shelves, first, count);
    const wanted = members.filter(({ entry }) => kind_marks?.includes(place_of_entry(entry).kind) ?? true);
    const sightings = await look_at(records, wanted);
    const is_all = members.length < count || limit === undefined;
    const end = members.at(-1)?.entry ?? "";
    const found = new Map<string, SessionMetadata>();
    for (const { id, metadata } of sightings) {
      if (metadata && (is_all || `${position_of(metadata)} ` <= end)) {
        found.set(id, metadata); // others may stand before what has moved further back
      }
    }
    await forget(
      index,
      wanted.filter((_, at) => sightings[at]?.is_past === true),
    );
    const matching = apply_query([...found.values()], query);
    if (is_all || matching.length >= limit) {
      return matching;
    }
  }
}

/** The shelves that hold all that a query may want. */
function shelves_of(query?: SessionQuery | null): string[] {
  const { parent_id, kinds } = query ?? {};
  if (parent_id !== undefined) {
    return [`p${parent_mark(String(parent_id))}`];
  }
  return kinds ? [...new Set(kinds)].map((kind) => `k${ascending(String(kind))}`) : ["a"];
}

async function look_at(records: SessionRecords, members: readonly IndexMember[]): Promise<Sighting[]> {
  const sightings: Sighting[] = [];
  for (let from = 0; from < members.length; from += PORTION) {
    const portion = members.slice(from, from + PORTION);
    const ids = portion.map(({ entry }) => from_position(place_of_entry(entry).position).id);
    const states = await records.states(ids);
    sightings.push(...portion.map(({ entry }, at) => sighting_of(ids[at] as string, entry, states[at])));
  }
  return sightings;
}

function sighting_of(id: string, entry: string, state: RawState | SessionError | undefined): Sighting {
  if (state instanceof SessionError) {
    return { id, metadata: damaged_entry(id, state, entry), is_past: false };
  }
  const is_past = state === undefined || (Boolean(state.entry) && state.entry !== entry);
  return { id, metadata: state && read_entry(id, state, entry), is_past };
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
    return { member, entry };
  });
  const sightings = await look_at(records, members);
  const [past, alive] = [true, false].map((is_past) => members.filter((_, at) => sightings[at]?.is_past === is_past));
  await forget(index, past ?? []);
  if (alive && alive.length > 0) {
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
    const there = states.flatMap((state, at) => (state ? [entry_for(ids[at] as string, state)] : []));
    if (there.length > 0) {
      await index.add(there);
    }
  }
  return (await list_sessions(index, records)).length;
}

/** The entry that a session names; a damaged one, which names none, gets one at the end of the list. */
function entry_for(id: string, state: RawState | SessionError): string {
  const named = state instanceof SessionError ? undefined : state.entry;
  return named || `${position_of({ updated_at: new Date(0).toISOString(), id })} 0-0 - root `;
}
