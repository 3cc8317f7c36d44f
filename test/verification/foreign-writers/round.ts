import fs from "node:fs";
import { join } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { has_code } from "../../../src/errors.js";
import { SessionManager } from "../../../src/manager/session-manager.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import { seeded_random } from "../../support/random.js";
import { message, texts_of } from "../interleavings/history.js";
import { Ledger } from "./ledger.js";
import { PublishedWriter, type HalfWrite, type PublishedSession } from "./published-writer.js";

const IDS = ["a", "b", "c"] as const;
const STEPS = 18;

/** In which format our new sessions are, and all of theirs. */
export interface RoundFormats {
  ours: FileSessionFormat;
  theirs: FileSessionFormat;
}

type Step = (id: string) => Promise<string>;

/** Some time in a directory that two processes of ours, one of them with a manager, and another program use. */
export class Round {
  readonly log: string[] = [];
  readonly #root: string;
  readonly #random: ReturnType<typeof seeded_random>;
  readonly #ledger: Ledger;
  readonly #stores: FileSessionStore[];
  readonly #conversation = new PlainConversation();
  readonly #manager: SessionManager;
  readonly #theirs: PublishedWriter;
  /** What was read some time ago, by us and by them. */
  readonly #revisions = new Map<string, string>();
  readonly #read = new Map<string, PublishedSession>();
  /** Sessions in the memory of a program of theirs that runs all the time, and reads each session once. */
  readonly #held = new Map<string, PublishedSession>();
  readonly #backups = new Map<string, Buffer[]>();
  readonly #is_long: boolean;
  #count = 0;

  constructor(root: string, { ours, theirs }: RoundFormats, seed: number) {
    this.#root = root;
    this.#random = seeded_random(seed);
    this.#is_long = this.#random.below(8) === 0;
    const layer = new HookedLayer(undefined, { syncs: false }); // no power is cut here
    this.#ledger = new Ledger(root, layer);
    this.#stores = [1, 2].map(() => new FileSessionStore(root, { format: ours }, layer));
    this.#manager = new SessionManager(this.#store, this.#conversation);
    this.#manager.on("lifecycle_error", ({ error, operation }) => {
      this.log.push(`the manager reports: ${operation}: ${String(error)}`);
    });
    this.#theirs = new PublishedWriter(root, theirs);
  }

  /** Returns what was lost, or is wrong. `disturb` is called after each step: for tests of this. */
  async run(disturb: () => void = () => undefined): Promise<string[]> {
    const steps: [number, string, Step][] = [
      [4, "append", (id) => this.#append(id)],
      [2, "append at a revision read before", (id) => this.#append(id, this.#revisions.get(id))],
      [2, "save", (id) => this.#save(id)],
      [1, "replace", (id) => this.#replace(id)],
      [1, "update", (id) => this.#update(id)],
      [2, "flush", (id) => this.#flush(id)],
      [1, "fork", (id) => this.#fork(id)],
      [1, "delete", (id) => this.#delete(id)],
      [3, "turn", () => this.#turn()],
      [3, "manager loads", (id) => this.#load_into_manager(id)],
      [1, "look", (id) => this.#look(id)],
      [3, "they append", (id) => this.#they_append(id, this.#theirs.load(id))],
      [2, "they append to what they read before", (id) => this.#they_append(id, this.#read.get(id))],
      [4, "they go on", (id) => this.#they_go_on(id, (messages) => [...messages, this.#new()])],
      [
        1,
        "they go on with other messages",
        (id) => this.#they_go_on(id, (messages) => [...messages.slice(1), this.#new()]),
      ],
      [1, "they append lines, and die", (id) => this.#they_append(id, this.#theirs.load(id), "lines")],
      [1, "they write metadata, and die", (id) => this.#they_append(id, this.#theirs.load(id), "metadata")],
      [2, "they change metadata", (id) => this.#they_write(id, (messages) => messages)],
      [2, "they diverge", (id) => this.#they_write(id, (messages) => [...messages.slice(0, -1), this.#new()])],
      [2, "they truncate", (id) => this.#they_write(id, (messages) => messages.slice(0, -1))],
      [2, "they put back what was there before", (id) => this.#they_put_back(id)],
      [1, "they delete", (id) => this.#they_delete(id)],
    ];
    const weighted = steps.flatMap(([weight, name, step]) => Array<[string, Step]>(weight).fill([name, step]));
    try {
      for (const id of IDS) {
        await this.#save(id);
      }
      this.#manager.start_new();
      for (let step = 0; step < STEPS; step += 1) {
        const [name, act] = this.#random.pick(weighted);
        const id = this.#random.pick(this.#ids());
        this.log.push(`${name} ${id}`);
        const outcome = await act(id);
        this.log.push(`  ${outcome}`);
        disturb();
      }
      return await this.#end();
    } catch (error) {
      return [`failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`];
    }
  }

  get #store(): FileSessionStore {
    return this.#random.pick(this.#stores);
  }

  /** Those that are there from the beginning, and sometimes those that came into being. */
  #ids(): readonly string[] {
    const found = fs.existsSync(this.#root) && this.#random.below(3) === 0 ? fs.readdirSync(this.#root) : [];
    const others = found.flatMap((name) => /^(.+?)(?:\.meta)?\.json$/.exec(name)?.[1] ?? []);
    return [...IDS, ...others.sort()];
  }

  #new(): Message {
    this.#count += 1;
    return message(`<${this.#count}>${this.#is_long ? "x".repeat(20_000) : ""}`);
  }

  #path(id: string, ending: string): string {
    return join(this.#root, id + ending);
  }

  async #append(id: string, revision?: string): Promise<string> {
    const before = await this.#ledger.view(id);
    this.#back_up(id);
    const added = this.#new();
    const at = revision ?? before?.revision ?? "none";
    const outcome = await told(this.#store.append(id, [added], { revision: at }));
    if (outcome !== "done") {
      return outcome;
    }
    if (this.#ledger.history_of(id, at) !== JSON.stringify(before?.messages)) {
      throw new Error(`an append to ${id} was taken, though the revision was of another history`);
    }
    this.#ledger.owe(keys_of([added]));
    this.#revisions.set(id, at); // old by now
    const after = await this.#ledger.view(id);
    if (JSON.stringify(after?.messages) !== JSON.stringify([...(before?.messages ?? []), added])) {
      throw new Error(`after an append, ${id} holds ${keys_of(after?.messages ?? []).join()}`);
    }
    return outcome;
  }

  async #save(id: string): Promise<string> {
    const before = (await this.#ledger.view(id))?.messages ?? [];
    const kept = this.#random.below(4) === 0 ? before.slice(0, -1) : before;
    const messages = [...kept, this.#new()];
    await this.#store.save(id, messages);
    this.#ledger.remove(keys_of(before), keys_of(kept));
    this.#ledger.owe(keys_of(messages.slice(-1)));
    return "done";
  }

  async #replace(id: string): Promise<string> {
    const before = await this.#ledger.view(id);
    const added = this.#new();
    const revision = this.#random.pick([before?.revision ?? null, this.#revisions.get(id) ?? null]);
    const outcome = await told(this.#store.replace(id, [added], { revision }));
    if (outcome === "done") {
      this.#ledger.remove(keys_of(before?.messages ?? []));
      this.#ledger.owe(keys_of([added]));
    }
    return outcome;
  }

  async #update(id: string): Promise<string> {
    return String(await this.#store.update(id, { label: `label ${this.#count}` }));
  }

  async #flush(id: string): Promise<string> {
    await this.#store.flush(...this.#random.pick([[id], []]));
    return "done";
  }

  async #fork(parent_id: string): Promise<string> {
    const id = `fork${this.#count}`;
    const added = this.#new();
    await this.#store.save(id, [added], { parent_id, fork_message_count: 0 });
    this.#ledger.owe(keys_of([added]));
    return id;
  }

  async #delete(id: string): Promise<string> {
    const before = await this.#ledger.view(id);
    const hidden = this.#theirs.load(id)?.messages ?? []; // a session in both formats is removed as a whole
    const existed = await this.#store.delete(id);
    this.#ledger.remove(keys_of([...(before?.messages ?? []), ...hidden]));
    return String(existed);
  }

  async #turn(): Promise<string> {
    const [said] = keys_of([this.#new()]);
    this.#conversation.turn(said ?? "", `re: ${said}`);
    await this.#manager.flush();
    this.#ledger.owe([said ?? "", `re: ${said}`]);
    return `in ${this.#manager.current_session_id}`;
  }

  async #load_into_manager(id: string): Promise<string> {
    return told(this.#manager.load(id));
  }

  /** Readers only; what they find is used later, when it may be old. */
  async #look(id: string): Promise<string> {
    const { revision } = (await this.#ledger.view(id)) ?? {};
    if (revision !== undefined) {
      this.#revisions.set(id, revision);
    }
    const found = this.#theirs.load(id);
    if (found !== undefined) {
      this.#read.set(id, found);
    }
    const listed = (await this.#store.list()).find((entry) => entry.id === id);
    if (!this.#ledger.is_same(id, listed, (await this.#ledger.view(id))?.metadata)) {
      throw new Error(`${id} is listed as ${JSON.stringify(listed)}`);
    }
    return `${listed?.message_count} messages`;
  }

  async #they_append(id: string, known: PublishedSession | undefined, half?: HalfWrite): Promise<string> {
    if (half !== undefined && known === undefined) {
      return "nothing there";
    }
    return this.#they_put(id, known, (messages) => [...messages, this.#new()], half);
  }

  async #they_write(id: string, change: (messages: Message[]) => Message[]): Promise<string> {
    const known = this.#theirs.load(id);
    return known === undefined ? "nothing there" : this.#they_put(id, known, change);
  }

  /** Writes what is in memory, whatever has happened to the session since. */
  async #they_go_on(id: string, change: (messages: Message[]) => Message[]): Promise<string> {
    return this.#they_put(id, this.#held.get(id) ?? this.#theirs.load(id), change);
  }

  async #they_put(
    id: string,
    known: PublishedSession = { messages: [], metadata: {} },
    change: (messages: Message[]) => Message[],
    half?: HalfWrite,
  ): Promise<string> {
    const view = await this.#ledger.view(id);
    const before = this.#theirs.load(id);
    const file = before?.messages ?? [];
    const is_hidden = this.#is_hidden(id);
    const has_journal = fs.existsSync(this.#path(id, ".journal"));
    const mark = `their ${this.#count}`;
    const session = { messages: change(known.messages), metadata: { ...known.metadata, mark } };
    this.#theirs.save(id, session, known.messages, half);
    this.#held.set(id, session);
    const written = this.#theirs.load(id)?.messages ?? [];
    this.#ledger.remove(keys_of(file), keys_of(written));
    this.#ledger.owe(keys_of(written).filter((key) => !keys_of(file).includes(key)));
    const after = await this.#ledger.view(id);
    const expected = is_hidden
      ? view?.messages
      : has_journal && before !== undefined
        ? continued(view?.messages ?? [], file, written)
        : written;
    if (expected !== undefined && JSON.stringify(after?.messages) !== JSON.stringify(expected)) {
      throw new Error(
        `${id} should hold ${keys_of(expected).join()} and holds ${keys_of(after?.messages ?? []).join()}`,
      );
    }
    const has_metadata = half !== "lines" || this.#theirs.format === "json";
    if (!is_hidden && has_metadata && (after?.metadata as { mark?: string } | undefined)?.mark !== mark) {
      throw new Error(`what they wrote into the metadata of ${id} is not there`);
    }
    return keys_of(written).join();
  }

  /** Tells whether a file of theirs is not read. */
  #is_hidden(id: string): boolean {
    return this.#theirs.format === "json" && fs.existsSync(this.#path(id, ".meta.json"));
  }

  #back_up(id: string): void {
    const paths = this.#theirs.paths(id);
    if (paths.every((path) => fs.existsSync(path)) && this.#random.below(2) === 0) {
      this.#backups.set(
        id,
        paths.map((path) => fs.readFileSync(path)),
      );
    }
  }

  /** A file of ours, or of theirs, as it is: with all that it says of what it continues. */
  async #they_put_back(id: string): Promise<string> {
    const backup = this.#backups.get(id);
    const before = this.#theirs.load(id)?.messages;
    if (backup === undefined || before === undefined) {
      return "nothing there";
    }
    this.#theirs.paths(id).forEach((path, n) => fs.writeFileSync(path, backup[n] ?? ""));
    const after = this.#theirs.load(id)?.messages ?? [];
    this.#ledger.remove(keys_of(before), keys_of(after));
    this.#ledger.owe(keys_of(after));
    await this.#ledger.view(id);
    return keys_of(after).join();
  }

  async #they_delete(id: string): Promise<string> {
    const [head, data] = this.#theirs.paths(id);
    if (!this.#is_hidden(id) && fs.existsSync(head)) {
      this.#ledger.remove_file(this.#path(id, ".journal"));
    }
    this.#ledger.remove_file(data);
    this.#theirs.delete(id);
    return "done";
  }

  /** As it is, after a flush, and when every session was written to once more. */
  async #end(): Promise<string[]> {
    this.#manager[Symbol.dispose]();
    await this.#manager.flush();
    await Promise.all(this.#stores.map((store) => store.flush()));
    const wrong = await this.#ledger.check();
    const last = new FileSessionStore(this.#root, {}, new HookedLayer(undefined, { syncs: false }));
    for (const { id } of await last.list()) {
      await last.update(id, { custom: { last: true } });
    }
    await last.flush();
    return [...wrong, ...(await this.#ledger.check())];
  }
}

/**
 * What a session shows when another program has rewritten its file, and the journal is there: if the file still begins
 * as it did, and journal and file go on in the same way, the longer one; otherwise what is in the file. `undefined`:
 * the journal did not belong to that file before either.
 */
function continued(view: Message[], file: Message[], written: Message[]): Message[] | undefined {
  const same = (a: Message[], b: Message[]) => JSON.stringify(a) === JSON.stringify(b);
  if (!same(view.slice(0, file.length), file) || view.length === file.length) {
    return undefined;
  }
  const common = Math.min(view.length, written.length);
  const goes_on = written.length >= file.length && same(view.slice(0, common), written.slice(0, common));
  return goes_on && view.length > written.length ? view : written;
}

/** What is looked for in files. */
function keys_of(messages: readonly Message[]): string[] {
  return texts_of(messages).map((text) => /^(re: )?<\d+>/.exec(text)?.[0] ?? text);
}

/** `"done"`, or that somebody else was faster. */
async function told(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "done";
  } catch (error) {
    for (const code of ["conflict", "not_found"] as const) {
      if (has_code(error, code)) {
        return code;
      }
    }
    throw error;
  }
}
