import { has_code } from "../../../src/errors.js";
import { user } from "../../support/messages.js";
import { content_of, entries_of, session_in } from "./contents.js";
import type { Holdings } from "./crash-model.js";
import { unfinished, type Verdict } from "./judge.js";
import type { MemoryDisk } from "./memory-disk.js";
import { record, type Recording, type Scenario, type Step, type World } from "./record.js";

/** What the next opener of a crashed directory asks for, with each session that was left unfinished. */
type Next = (world: World, id: string) => Promise<unknown>;

const append: Next = async ({ store, layer }, id) => {
  const revision = session_in(await content_of(layer, id))?.revision;
  const later = [user("next", "next")];
  return revision === undefined ? store.save(id, later) : store.append(id, later, { revision });
};

/** There is a session to draft in, and the turn of the draft is stored in the end. */
async function draft_beside_next(store: World["store"], id: string): Promise<void> {
  const prompt = user("next", "next");
  if ((await store.load(id)) === undefined) {
    await store.save(id, []);
  }
  await store.set_draft(id, { prompt, updated_at: "2029-01-01T00:00:00.000Z" });
  await store.append(id, [prompt], { revision: (await store.load(id))?.revision ?? "" });
}

const NEXT: { name: string; next: Next }[] = [
  { name: "append", next: append },
  { name: "save", next: ({ store }, id) => store.save(id, [user("next", "next")], { label: "next" }) },
  { name: "rename", next: ({ store }, id) => store.update(id, { label: "next" }) },
  {
    name: "append and flush",
    next: async (world, id) => {
      await append(world, id);
      await world.store.flush(id);
    },
  },
  { name: "draft", next: ({ store }, id) => draft_beside_next(store, id) },
  { name: "delete", next: ({ store }, id) => store.delete(id) },
  { name: "flush", next: ({ store }, id) => store.flush(id) },
];

export const KINDS_OF_OPENERS = NEXT.length;

/** Crash states of a recording, of which the next opener's own crashes are to be looked at: one of each kind. */
export class Starts {
  readonly #recording: Recording;
  readonly #found = new Map<string, { state: Holdings; ids: string[] }>();

  constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** A state counts where a writer left more than a session's own files. */
  offer(state: Holdings, { found }: Verdict): void {
    const disk = state.disk(this.#recording.live);
    const names = [...entries_of(disk).keys()];
    const kind = names.map((name) => name.replace(/\.[0-9a-f]{12}\./, ".")).sort();
    const key = `${kind.join()} ${[...found.values()].join()}`;
    if (!this.#found.has(key) && names.some((name) => /\.(draft|(draft-)?lock|tmp|journal|next)$/.test(name))) {
      this.#found.set(key, { state, ids: unfinished(disk, found) });
    }
  }

  /** The next openers of so many states, each of whom does something else; recorded when they are called. */
  openers(count: number, turn: number): (() => Promise<Recording>)[] {
    const all = [...this.#found.values()];
    const step = Math.max(1, all.length / count);
    const starts = Array.from({ length: Math.min(count, all.length) }, (_, n) => all[Math.ceil(n * step)]);
    return starts.flatMap((start, n) => {
      const next = NEXT[(turn + n) % NEXT.length];
      return start && next ? [() => this.#record(start.state.disk(this.#recording.live), start.ids, next)] : [];
    });
  }

  async #record(disk: MemoryDisk, ids: string[], { name, next }: (typeof NEXT)[number]): Promise<Recording> {
    const steps = ids.map((id): Step => async (world) => {
      if (this.#recording.has_others) {
        world.by_others(); // what they left may become a session of its own
      }
      try {
        await next(world, id);
      } catch (error) {
        if (!has_code(error, "corrupt")) {
          throw error;
        }
        await world.store.repair(id);
      }
    });
    const scenario: Scenario = { name: `${this.#recording.name}, and then ${name}`, steps: () => steps };
    return record(scenario, this.#recording.options, disk);
  }
}
