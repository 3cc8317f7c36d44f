import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "../../types.js";
import type { ConformanceNeed } from "../types.js";
import { loaded, messages, revision_of, type Capable } from "../check.js";

/** Every method that writes metadata. A rule of `save` is a rule of the other three. */
export const WAYS = ["save", "append", "replace", "update"] as const;
export type Way = (typeof WAYS)[number];

/** The methods that write messages. */
export const MESSAGE_WAYS = ["save", "append", "replace"] as const;
export type MessageWay = (typeof MESSAGE_WAYS)[number];

/** A store of four methods merges and refuses as its author saw fit. */
export function needs_of(way: Way): readonly ConformanceNeed[] {
  return [way === "save" ? "rules" : way];
}

/** Returns those of the ways that the store has. */
export function ways_of<W extends Way>(store: Partial<Capable>, ways: readonly W[]): W[] {
  return ways.filter((way) => way === "save" || store[way] !== undefined);
}

/** Writes to a session that is there; `update` leaves the messages out. */
export async function write_by(
  store: Capable,
  way: Way,
  id: string,
  metadata?: object,
  given: Message[] = messages("more"),
): Promise<void> {
  const revision = way === "append" || way === "replace" ? await revision_of(store, id) : "";
  await start_write(store, way, id, { metadata, given, revision });
}

/** Makes the call before it returns, so that a caller can change what it handed in while the store works. */
export function start_write(
  store: Capable,
  way: Way,
  id: string,
  { metadata, given, revision }: { metadata?: object | undefined; given: Message[]; revision: string },
): Promise<unknown> {
  if (way === "save") {
    return store.save(id, given, metadata);
  }
  if (way === "update") {
    return store.update(id, metadata ?? {});
  }
  return store[way](id, given, { revision, ...(metadata !== undefined && { metadata }) });
}

export type Written = Partial<SessionMetadata> & Record<string, unknown>;

export async function metadata_of(store: Capable, id: string): Promise<Written> {
  return (await loaded(store, id)).metadata as Partial<SessionMetadata>;
}
