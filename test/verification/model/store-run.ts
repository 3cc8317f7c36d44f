import { InMemorySessionStore } from "@simulacra-ai/session";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileLayer } from "../../../src/stores/file/fs/file-layer.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import type { FullStore } from "../../stores/helpers.js";
import { ROOT } from "../damage/sample.js";
import { MemoryDisk } from "../crash-states/memory-disk.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import { crashed } from "./crash.js";
import { type Answer, apply, copy_of_memory, list_text, session_text } from "./model-stores.js";
import { type Change, type Command, SESSIONS } from "./store-commands.js";

/** Opens a store over these files; others than the default are for tests of this model. */
export type Open = (format: FileSessionFormat, layer: FileLayer) => FullStore;

export const open_files: Open = (format, layer) => new FileSessionStore(ROOT, { format }, layer);

const short = (text: string) => (text.length > 400 ? `${text.slice(0, 400)} …` : text);

/**
 * Two file stores in one directory, one of them used at a time, and the memory store as the oracle: whatever is done,
 * they have to say the same. After a crash the session is as before the change under way, or as after it, and the
 * oracle goes on from what is found.
 */
export class StoreRun {
  readonly #format: FileSessionFormat;
  readonly #open_store: Open;
  #layer = new RecordingLayer();
  /** What the device held before anything that the layer has logged. */
  #before = new MemoryDisk();
  #stores: [FullStore, FullStore];
  #oracle = new InMemorySessionStore();
  readonly #revisions = new Map<string, { file: string; memory: string }>();
  /** Every token that a session ever had. */
  readonly #seen = new Map<string, Set<string>>(SESSIONS.map((id) => [id, new Set()]));
  #count = 0;
  #has_crashed = false;

  constructor(format: FileSessionFormat, open_store: Open = open_files) {
    this.#format = format;
    this.#open_store = open_store;
    this.#stores = [this.#open(), this.#open()];
  }

  #open(): FullStore {
    return this.#open_store(this.#format, this.#layer);
  }

  /** @throws {Error} where the stores differ. */
  async run(commands: readonly Command[]): Promise<void> {
    for (const [n, command] of commands.entries()) {
      try {
        await this.#perform(command);
      } catch (error) {
        throw new Error(`command ${n + 1}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    }
    await this.#come_to_rest();
  }

  async #perform(command: Command): Promise<void> {
    const store = this.#stores[command.via === 0 ? 0 : 1];
    switch (command.op) {
      case "change":
        return this.#change(store, command.change);
      case "load":
        return this.#compare_session(store, command.id);
      case "list":
        return require_equal(
          "list",
          await list_text(store, command.query),
          await list_text(this.#oracle, command.query),
        );
      case "flush":
        await store.flush?.(command.id);
        await this.#stores[command.via === 0 ? 1 : 0].flush?.(command.id); // it may be preparing a fold of its own
        return require_equal("what flush leaves", await this.#left_by_flush(command.id), "");
      case "burst":
        for (const change of command.changes) {
          await this.#change(store, change);
        }
        return this.#compare_session(store, command.id);
      case "reopen":
        this.#stores = [this.#open(), this.#open()];
    }
  }

  /** What a crash left, and what there is of no session, a writer removes, and no flush. */
  async #left_by_flush(id: string | undefined): Promise<string> {
    const names: string[] = await this.#layer.names(ROOT).catch(() => []);
    const of = names.filter((name) => id === undefined || name.startsWith(`${id}.`));
    const is_session = (name: string) =>
      [".json", ".meta.json"].some((ending) => names.includes(name.replace(".journal", ending)));
    const left = this.#has_crashed
      ? of.filter((name) => name.endsWith(".journal") && is_session(name))
      : of.filter((name) => /\.(journal|lock|draft-lock|tmp|next)$/.test(name));
    return left.join();
  }

  async #change(store: FullStore, change: Change): Promise<void> {
    this.#count += 1;
    const { id } = change;
    const known = this.#revisions.get(id);
    const stale = [...(this.#seen.get(id) ?? [])].find((revision) => revision !== known?.file) ?? "never";
    const is_right = change.revision === "right" && known !== undefined;
    const old = change.crash && (await copy_of_memory(this.#oracle));
    const from = this.#layer.log.length;
    const began = new Date().toISOString();
    const count = this.#count;
    const session = await this.#oracle.load(id);
    const answer = await apply(store, change, { revision: is_right ? known.file : stale, count, session });
    const to = this.#layer.log.length;
    const expected = await apply(this.#oracle, change, { revision: is_right ? known.memory : "never", count, session });
    require_equal("outcome", `${answer.outcome} ${answer.result}`, `${expected.outcome} ${expected.result}`);
    if (change.crash && old) {
      const { at, way } = change.crash;
      await this.#crash({
        old,
        known,
        id,
        change,
        answer,
        point: from + Math.floor(at * (to - from + 1)),
        end: to,
        way,
      });
      return;
    }
    if (change.in_haste && change.is_dated && answer.revision !== undefined && expected.revision !== undefined) {
      const moved = [answer.revision !== known?.file, expected.revision !== known?.memory];
      require_equal("revision moved", String(moved[0]), String(moved[1]));
      this.#seen.get(id)?.add(answer.revision);
      this.#revisions.set(id, { file: answer.revision, memory: expected.revision });
      return;
    }
    if (!change.is_dated) {
      await this.#pin_dates(store, id, began);
    }
    await this.#compare_session(store, id, { file: answer.revision, memory: expected.revision });
    require_equal("list", await list_text(store), await list_text(this.#oracle));
    await this.#forget_draft(store, change);
  }

  /** Of a draft that was written behind its turn, nobody says what becomes of it where that turn is taken back. */
  async #forget_draft(store: FullStore, { op, id, drafts }: Change): Promise<void> {
    if (op === "draft" && drafts === "over" && (await this.#oracle.load(id))?.draft === undefined) {
      await store.set_draft(id, undefined);
      await this.#oracle.set_draft(id, undefined);
    }
  }

  /** Dates that the stores gave themselves are about the same, and are made the same. */
  async #pin_dates(store: FullStore, id: string, began: string): Promise<void> {
    const [found, expected] = [await store.load(id), await this.#oracle.load(id)];
    for (const key of ["created_at", "updated_at"] as const) {
      const [date = "", other = ""] = [found?.metadata[key], expected?.metadata[key]];
      const are_new = date >= began && other >= began && date <= new Date().toISOString();
      require_equal(key, are_new ? "new" : date, are_new ? "new" : other);
    }
    const pinned = { created_at: "2024-01-01T00:00:00.000Z", updated_at: "2024-01-02T00:00:00.000Z" };
    require_equal("update", String(await store.update(id, pinned)), String(await this.#oracle.update(id, pinned)));
  }

  /** The session, and whether its revision has moved where the oracle's has, and only there. */
  async #compare_session(
    store: FullStore,
    id: string,
    returned?: Partial<Record<"file" | "memory", string | undefined>>,
  ) {
    const [found, expected] = [await session_text(store, id), await session_text(this.#oracle, id)];
    require_equal(`session ${id}`, found.text, expected.text);
    const known = this.#revisions.get(id);
    if (found.revision === undefined || expected.revision === undefined) {
      require_equal("revision", String(found.revision), String(expected.revision));
      this.#revisions.delete(id);
      return;
    }
    const has_moved = known?.file !== found.revision;
    if (known !== undefined) {
      require_equal("revision moved", String(has_moved), String(known.memory !== expected.revision));
    }
    const seen = this.#seen.get(id);
    require_equal("a revision comes back", String(has_moved && seen?.has(found.revision)), "false");
    if (returned?.file !== undefined) {
      require_equal("revision returned", returned.file, found.revision);
    }
    seen?.add(found.revision);
    this.#revisions.set(id, { file: found.revision, memory: expected.revision });
  }

  async #crash({ old, known, id, change, answer, point, end, way }: Crash): Promise<void> {
    const disk = crashed(this.#before, this.#layer.disk, this.#layer.log.slice(0, point), way);
    this.#before = disk.copy();
    this.#has_crashed = true;
    this.#layer = new RecordingLayer(disk);
    this.#stores = [this.#open(), this.#open()];
    const [store] = this.#stores;
    const where = `after a crash at ${point} of ${end} in way ${way}`;
    const texts = async (of: FullStore) =>
      (await Promise.all(SESSIONS.map(async (one) => (await session_text(of, one)).text))).join("\n");
    const [found, before, after] = [await texts(store), await texts(old), await texts(this.#oracle)];
    const is_after = found === after;
    if (!is_after && (found !== before || point === end)) {
      throw new Error(`${where}: ${short(found)} is not ${short(after)}${point === end ? "" : ` or ${short(before)}`}`);
    }
    const { revision } = await session_text(store, id);
    if (before !== after) {
      const expected = is_after ? answer.revision : known?.file;
      require_equal(`${where}: revision`, String(revision), String(expected ?? revision));
    }
    this.#oracle = is_after ? this.#oracle : old;
    for (const one of SESSIONS) {
      const [file, memory] = [await session_text(store, one), await session_text(this.#oracle, one)];
      if (file.revision !== undefined && memory.revision !== undefined) {
        this.#revisions.set(one, { file: file.revision, memory: memory.revision });
        this.#seen.get(one)?.add(file.revision);
      } else {
        this.#revisions.delete(one);
      }
    }
    await this.#forget_draft(store, change);
    require_equal(`${where}: list`, await list_text(store), await list_text(this.#oracle));
  }

  /** In the end all is as the oracle says, for a new store too, and nothing lies about. */
  async #come_to_rest(): Promise<void> {
    for (const store of this.#stores) {
      await store.flush?.();
    }
    const store = this.#open();
    for (const id of SESSIONS) {
      await this.#compare_session(store, id);
    }
    const updated_at = "2025-01-01T00:00:00.000Z";
    for (const id of SESSIONS) {
      const is_there = await store.update(id, { updated_at });
      if (!is_there) {
        await store.save(id, []); // a writer cleans up after a killed one
        await store.delete(id);
      } else {
        await this.#oracle.update(id, { updated_at });
      }
    }
    await store.flush?.();
    require_equal("list in the end", await list_text(this.#open()), await list_text(this.#oracle));
    const problems = (await new FileSessionStore(ROOT, {}, this.#layer).verify()).filter(
      ({ code }) => code !== "corrupt_draft", // the next draft replaces half of one
    );
    require_equal("verify", problems.map(({ code, path }) => `${code} ${path}`).join(), "");
  }
}

interface Crash {
  old: InMemorySessionStore;
  known: { file: string; memory: string } | undefined;
  id: string;
  change: Change;
  answer: Answer;
  /** How much of the log has happened, and how much would have. */
  point: number;
  end: number;
  way: number;
}

function require_equal(what: string, found: string, expected: string): void {
  if (found !== expected) {
    throw new Error(`${what}: found ${short(found)} instead of ${short(expected)}`);
  }
}
