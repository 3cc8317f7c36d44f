import type { FileSessionStoreOptions } from "../../src/stores/file/file-session-store.js";
import { content_of, digest, GONE, ids_on, links_on } from "./contents.js";
import { MemoryDisk } from "./memory-disk.js";
import { RecordingLayer, type Change, type LogEntry } from "./recording-layer.js";
import type { Verdict } from "./judge.js";
import { TracingStore } from "./tracing-store.js";

/** What the steps of a scenario have to do with. */
export interface World {
  layer: RecordingLayer;
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
  before: ReadonlyMap<string, string>;
  log: readonly LogEntry[];
  /** States that were judged already. */
  known: Map<string, Verdict>;
}

export async function record(
  { name, steps, keeps = [], json_only = false }: Scenario,
  options: FileSessionStoreOptions,
  initial = new MemoryDisk(),
): Promise<Recording> {
  const layer = new RecordingLayer(initial.copy());
  const now = await contents_of(layer);
  const before = new Map(now);
  let is_by_others = false;
  const world: World = {
    layer,
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
    const found = await contents_of(layer);
    for (const id of new Set([...found.keys(), ...now.keys()])) {
      const content = found.get(id) ?? GONE;
      if (content !== (now.get(id) ?? GONE)) {
        if (!is_by_others) {
          throw new Error(`${name}, ${change.name}: nobody was asked to change ${id} to ${content.slice(0, 300)}`);
        }
        change.after.set(id, content);
        now.set(id, content);
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

async function contents_of(layer: RecordingLayer): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const id of ids_on(layer.disk)) {
    contents.set(id, await content_of(layer, id));
  }
  return contents;
}

/** What may be found at a moment of a recording. */
export interface Allowed {
  /** Of each session: as it was acknowledged last, or as what is under way leaves it. */
  contents: ReadonlyMap<string, ReadonlySet<string>>;
  /** Known where nothing is under way. */
  links: string | undefined;
  /** What has to be kept, wherever. */
  kept: ReadonlySet<string>;
  where: string;
}

/** Follows a log and knows what was acknowledged. */
export class Acknowledged {
  readonly #now: Map<string, string>;
  readonly #under_way = new Set<Change>();
  #links: string | undefined;
  #allowed: Omit<Allowed, "where"> | undefined;
  readonly #keeps: readonly string[];
  readonly #kept = new Set<string>();
  #step = "";

  constructor({ before, keeps }: Pick<Recording, "before" | "keeps">) {
    this.#keeps = keeps;
    this.#now = new Map([...before].map(([id, content]) => [id, digest(content)]));
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
    for (const [id, content] of change.after) {
      this.#now.set(id, digest(content));
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
    const contents = new Map([...this.#now].map(([id, content]) => [id, new Set([content])]));
    for (const { after } of this.#under_way) {
      for (const [id, content] of after) {
        contents.set(id, (contents.get(id) ?? new Set([GONE])).add(digest(content)));
      }
    }
    const links = this.#under_way.size === 0 ? this.#links : undefined;
    return { contents, links, kept: new Set(this.#kept) };
  }
}
