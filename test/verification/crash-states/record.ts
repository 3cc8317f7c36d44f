import type { FileSessionStoreOptions } from "../../../src/stores/file/file-session-store.js";
import { digest, draft_beside, find_sessions, type Found, GONE, links_on } from "./contents.js";
import { MemoryDisk } from "./memory-disk.js";
import type { Change, LogEntry } from "./logged-disk.js";
import { RecordingLayer } from "./recording-layer.js";
import type { Verdict } from "./judge.js";
import { TracingStore } from "./tracing-store.js";

/** What the steps of a scenario have to do with. */
export interface World {
  layer: RecordingLayer;
  options: FileSessionStoreOptions;
  store: TracingStore;
  /** Another process. */
  other: TracingStore;
  /** This step changes sessions otherwise than by asking the store to. */
  by_others: () => void;
}

export type Step = (world: World) => Promise<unknown>;

export interface Scenario {
  name: string;
  /** Done one after another, each one awaited; new ones for every recording. */
  steps: () => Step[];
  /** Texts that, once acknowledged, have to be in some session after a crash and the next write. */
  keeps?: string[];
  /** What another program does is done in one format only. */
  json_only?: boolean;
  /** Files are damaged that were synced: of those that were not, nobody can tell. */
  durable_only?: boolean;
}

/** A scenario that was gone through once. */
export interface Recording {
  name: string;
  options: FileSessionStoreOptions;
  keeps: readonly string[];
  /** Another program has a part in it. */
  has_others: boolean;
  /** Before the first step and after the last. */
  initial: MemoryDisk;
  live: MemoryDisk;
  /** The sessions before the first step. */
  before: ReadonlyMap<string, Found>;
  log: readonly LogEntry[];
  /** States that were judged already. */
  known: Map<string, Verdict>;
}

export async function record(
  { name, steps, keeps = [], json_only = false }: Scenario,
  options: FileSessionStoreOptions,
  initial = new MemoryDisk(),
  layer_on = (disk: MemoryDisk) => new RecordingLayer(disk),
): Promise<Recording> {
  const layer = layer_on(initial.copy());
  const before = await find_sessions(layer);
  const now = new Map([...before].map(([id, { content }]) => [id, content]));
  const acknowledged = new Acknowledged({ before, keeps });
  let is_by_others = false;
  const world: World = {
    layer,
    options,
    store: new TracingStore(layer, options),
    other: new TracingStore(layer, options),
    by_others: () => (is_by_others = true),
  };
  for (const [index, step] of steps().entries()) {
    is_by_others = false;
    const change: Change = { name: `step ${index + 1}`, is_traced: false, after: new Map() };
    const begin = layer.log.push({ kind: "begin", label: change.name, change });
    await step(world);
    await layer.quiet();
    layer.log.push({ kind: "end", label: `end of ${change.name}`, change });
    change.links = links_on(layer.disk);
    const traced = layer.log.slice(begin).flatMap((entry) => (entry.kind === "end" ? [entry.change] : []));
    traced.flatMap(({ after }) => [...after]).forEach(([id, content]) => now.set(id, content));
    const found = await find_sessions(layer);
    for (const id of new Set([...found.keys(), ...now.keys()])) {
      const { content } = found.get(id) ?? NOTHING;
      if (content !== (now.get(id) ?? GONE)) {
        if (!is_by_others) {
          throw new Error(`${name}, ${change.name}: nobody was asked to change ${id} to ${content.slice(0, 300)}`);
        }
        change.after.set(id, content);
        now.set(id, content);
      }
    }
    layer.log.slice(begin - 1).forEach((entry) => acknowledged.advance(entry));
    const { contents } = acknowledged.allowed(undefined);
    for (const [id, one] of found) {
      if (!contents.get(id)?.has(digest(one))) {
        throw new Error(`${name}, ${change.name}: nobody was asked for ${id} with the draft ${String(one.draft)}`);
      }
    }
  }
  return {
    name,
    options,
    keeps,
    has_others: json_only,
    initial,
    live: layer.disk,
    before,
    log: layer.log,
    known: new Map(),
  };
}

const NOTHING: Found = { content: GONE, draft: undefined };

/** What may be found at a moment of a recording. */
export interface Allowed {
  /** Of each session and its draft: as it was acknowledged last, or as what is under way leaves it. */
  contents: ReadonlyMap<string, ReadonlySet<string>>;
  /** Known where nothing is under way. */
  links: string | undefined;
  /** What has to be kept, wherever. */
  kept: ReadonlySet<string>;
  where: string;
}

/** Follows a log and knows what was acknowledged. */
export class Acknowledged {
  readonly #now = new Map<string, string>();
  readonly #drafts = new Map<string, string | undefined>();
  readonly #under_way = new Set<Change>();
  #links: string | undefined;
  #allowed: Omit<Allowed, "where"> | undefined;
  readonly #keeps: readonly string[];
  readonly #kept = new Set<string>();
  #step = "";

  constructor({ before, keeps }: Pick<Recording, "before" | "keeps">) {
    this.#keeps = keeps;
    for (const [id, { content, draft }] of before) {
      this.#now.set(id, content);
      this.#drafts.set(id, draft);
    }
  }

  advance(entry: LogEntry): void {
    if (entry.kind !== "begin" && entry.kind !== "end") {
      return;
    }
    const { change, kind } = entry;
    this.#allowed = undefined;
    if (kind === "begin") {
      this.#under_way.add(change);
      this.#step = change.is_traced ? this.#step : change.name;
      return;
    }
    this.#under_way.delete(change);
    if (change.draft !== undefined) {
      this.#drafts.set(change.draft.id, change.draft.text);
    }
    for (const [id, content] of change.after) {
      this.#now.set(id, content);
      this.#drafts.set(id, draft_beside(content, this.#drafts.get(id))); // once void, it does not come back
      this.#keeps.filter((text) => content.includes(JSON.stringify(text))).forEach((text) => this.#kept.add(text));
    }
    this.#links = change.links ?? this.#links;
  }

  /** `next`: the operation that the crash comes before. */
  allowed(next: LogEntry | undefined): Allowed {
    const known = (this.#allowed ??= this.#compute());
    return { ...known, where: `${this.#step}, before ${next?.label ?? "the end"}` };
  }

  #compute(): Omit<Allowed, "where"> {
    const under_way = [...this.#under_way];
    const contents = new Map<string, Set<string>>();
    for (const id of new Set([this.#now, ...under_way.map(({ after }) => after)].flatMap((map) => [...map.keys()]))) {
      const sessions = [this.#now.get(id) ?? GONE, ...under_way.flatMap(({ after }) => after.get(id) ?? [])];
      const asked_for = under_way.flatMap(({ draft }) => (draft?.id === id ? [draft.text] : []));
      const drafts = [this.#drafts.get(id), ...asked_for];
      const both = sessions.flatMap((content) =>
        drafts.map((draft) => digest({ content, draft: draft_beside(content, draft) })),
      );
      contents.set(id, new Set(both));
    }
    const links = this.#under_way.size === 0 ? this.#links : undefined;
    return { contents, links, kept: new Set(this.#kept) };
  }
}
