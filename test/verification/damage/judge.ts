import type { FileSessionProblem, SessionMetadata } from "@simulacra-ai/session";
import type { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { loaded, message, outcome_of } from "../../stores/helpers.js";
import type { MemoryDisk } from "../crash-states/memory-disk.js";
import { find_sessions } from "../crash-states/contents.js";
import type { OtherReader } from "../crash-states/other-reader.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import type { Damage } from "./damages.js";
import { bytes_at, names_in, set_bytes } from "./disks.js";
import { expectation_of, type Expectation } from "./expectation.js";
import { HEAD, open_store, ROOT, type Sample, type State } from "./sample.js";

export interface Verdict {
  /** What is wrong, a line each. */
  wrong: string[];
  /** The session was read without records that had been acknowledged. */
  is_cut_back: boolean;
  /** Whole messages that a repair did not find. */
  unsalvaged: number;
}

const text_of = ({ messages, metadata }: State) => JSON.stringify([metadata, messages]);
const short = (text: string) => (text.length > 300 ? `${text.slice(0, 300)} …` : text);

/** One damaged directory, gone through by all that a store can do with it. */
export class Judge {
  readonly #sample: Sample;
  readonly #damage: Damage;
  readonly #expected: Expectation;
  readonly #disk: MemoryDisk;
  readonly #other_reader: OtherReader | undefined;
  readonly #wrong: string[] = [];
  #unsalvaged = 0;

  constructor(sample: Sample, damage: Damage, other_reader?: OtherReader) {
    this.#other_reader = other_reader;
    this.#sample = sample;
    this.#damage = damage;
    this.#expected = expectation_of(sample, damage);
    this.#disk = sample.disk.copy();
    set_bytes(this.#disk, damage.path, damage.bytes);
  }

  async verdict(): Promise<Verdict> {
    await this.#compare_readers();
    const { layer, store } = this.#open(this.#disk);
    const { outcome, state } = await this.#read(store);
    this.#expect(outcome === "done" || outcome === "corrupt", `load ends with ${outcome}`);
    if (outcome === "corrupt") {
      this.#expect(this.#expected.may_be_corrupt, "a torn tail is corrupt");
    } else if (outcome === "done") {
      const { readable } = this.#expected;
      const found = state === undefined ? "gone" : text_of(state);
      const is_right = readable !== undefined && found === text_of(readable);
      this.#expect(
        is_right,
        `load finds ${short(found)} instead of ${readable ? short(text_of(readable)) : "corrupt"}`,
      );
    }
    await this.#judge_list(store, state);
    const problems = await store.verify();
    this.#judge_problems(problems, state);
    this.#expect(layer.log.length === 0, "a reader writes");
    if (outcome === "corrupt") {
      await this.#judge_refusal();
      await this.#judge_save();
      await this.#judge_repair();
    } else if (state !== undefined) {
      await this.#judge_going_on(state, problems);
    }
    const is_cut_back = this.#expected.is_cut_back && state !== undefined;
    return { wrong: this.#wrong, is_cut_back, unsalvaged: this.#unsalvaged };
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) {
      const { name, format } = this.#sample;
      this.#wrong.push(`${format}, ${name}: ${this.#damage.what}: ${what}`);
    }
  }

  async #compare_readers(): Promise<void> {
    const found = this.#other_reader && (await find_sessions(new RecordingLayer(this.#disk)));
    const problem = found && (await this.#other_reader?.problem_of(this.#disk, found));
    this.#expect(problem === undefined, problem ?? "");
  }

  #open(disk: MemoryDisk) {
    return open_store(disk, this.#sample.format);
  }

  async #read(store: FileSessionStore): Promise<{ outcome: string; state: State | undefined }> {
    let state: State | undefined;
    const outcome = await outcome_of(
      store.load("s").then((session) => {
        state = session && { metadata: session.metadata, messages: session.messages };
      }),
    );
    return { outcome, state };
  }

  /** `list` looks at heads and ends alone, so it need not notice everything; what it says is right all the same. */
  async #judge_list(store: FileSessionStore, state: State | undefined): Promise<void> {
    const entries = await store.list();
    const entry = entries.find(({ id }) => id === "s");
    this.#judge_others(entries);
    this.#expect(entry !== undefined, "list lacks the session");
    if (entry === undefined) {
      return;
    }
    if (state !== undefined) {
      const listed = JSON.stringify(entry);
      this.#expect(listed === JSON.stringify(state.metadata), `list says ${listed} of what can be read`);
    } else if (entry.damaged === undefined) {
      const { states, twin } = this.#sample; // it looks at the last record alone, and cannot know what that goes on from
      const said = [...states, ...twin.states].map(({ metadata }) => JSON.stringify(metadata));
      this.#expect(said.includes(JSON.stringify(entry)), `list says ${JSON.stringify(entry)} of what is damaged`);
      const is_shown = this.#damage.path === HEAD.ndjson;
      this.#expect(!is_shown, "list does not show damaged metadata as damaged");
    }
  }

  #judge_others(entries: SessionMetadata[]): void {
    const { others } = this.#sample;
    const found = JSON.stringify(entries.filter(({ id }) => others.some((other) => other.id === id)));
    this.#expect(found === JSON.stringify(others), `the other sessions are listed as ${found}`);
  }

  #judge_problems(problems: FileSessionProblem[], state: State | undefined): void {
    const codes = problems.map(({ code }) => code);
    this.#expect(
      problems.every(({ session_id }) => session_id === "s"),
      `verify finds ${codes.join()} elsewhere`,
    );
    const is_whole = state !== undefined && !this.#expected.is_cut_back;
    if (state === undefined) {
      this.#expect(codes.join() === "corrupt", `verify finds ${codes.join()} where load says corrupt`);
    } else if (!is_whole && this.#damage.bytes.length > 0) {
      const last = this.#sample.records.reduce((ends, { length }) => [...ends, length + (ends.at(-1) ?? 0)], [0]);
      const is_between_records = last.includes(this.#damage.bytes.length);
      const is_named = /^(torn_journal|foreign_journal)$/.test(codes.join());
      this.#expect(is_named || is_between_records, `verify finds ${codes.join() || "nothing"} where records are gone`);
    }
  }

  /** Nothing but save, delete and repair touches what is damaged. */
  async #judge_refusal(): Promise<void> {
    const disk = this.#disk.copy();
    const { store } = this.#open(disk);
    const changes = {
      append: () => store.append("s", [message("x")], { revision: "x" }),
      replace: () => store.replace("s", [], { revision: null }),
    };
    for (const [name, change] of Object.entries(changes)) {
      const outcome = await outcome_of(change());
      this.#expect(/^(corrupt|conflict)$/.test(outcome), `${name} of what is damaged ends with ${outcome}`);
    }
    const is_kept = bytes_at(disk, this.#damage.path).equals(this.#damage.bytes);
    this.#expect(is_kept, "a change that was refused has changed the damaged file");
  }

  async #judge_save(): Promise<void> {
    const disk = this.#disk.copy();
    const { store } = this.#open(disk);
    const outcome = await outcome_of(store.save("s", [message("saved")]));
    this.#expect(outcome === "done", `save ends with ${outcome}`);
    await this.#judge_mended(disk, "save", [message("saved")]);
  }

  async #judge_repair(): Promise<void> {
    const disk = this.#disk.copy();
    const { store } = this.#open(disk);
    const outcome = await outcome_of(store.repair("s"));
    this.#expect(outcome === "done", `repair ends with ${outcome}`);
    const { state } = await this.#read(this.#open(disk).store);
    this.#judge_salvage(state?.messages ?? []);
    await this.#judge_mended(disk, "repair", state?.messages ?? []);
  }

  /** The good prefix is there; what is behind it is in its place, but for what was damaged itself. */
  #judge_salvage(found: unknown[]): void {
    const { kept } = this.#expected;
    const all = this.#sample.states.at(-1)?.messages ?? [];
    const prefix = JSON.stringify(found.slice(0, kept.length));
    this.#expect(prefix === JSON.stringify(kept), `repair keeps ${short(prefix)} of ${short(JSON.stringify(kept))}`);
    const strange = found.filter((one, n) => JSON.stringify(one) !== JSON.stringify(all[n]));
    const is_within = strange.every((one) => this.#damage.bytes.includes(JSON.stringify(one)) || strange.length === 1);
    this.#expect(is_within && found.length <= all.length, `repair makes up ${short(JSON.stringify(strange))}`);
    this.#unsalvaged = all.length - found.length;
  }

  async #judge_mended(disk: MemoryDisk, by: string, expected: unknown[]): Promise<void> {
    const { store } = this.#open(disk);
    const found = await outcome_of(loaded(store).then(({ messages }) => (expected = [messages, expected])));
    const is_right = found === "done" && JSON.stringify(expected[0]) === JSON.stringify(expected[1]);
    this.#expect(is_right, `after ${by}, load finds ${found} ${short(JSON.stringify(expected))}`);
    const kept = names_in(disk, ROOT).filter((name) => name.includes(".corrupt-"));
    const is_kept = kept.some((name) => bytes_at(disk, `${ROOT}/${name}`).equals(this.#damage.bytes));
    this.#expect(is_kept, `${by} does not keep what was damaged`);
    await this.#judge_clean(disk, by);
  }

  async #judge_clean(disk: MemoryDisk, after: string): Promise<void> {
    const { store } = this.#open(disk);
    this.#judge_others(await store.list());
    const left = (await store.verify()).filter(({ code }) => code !== "set_aside");
    this.#expect(left.length === 0, `after ${after}, verify finds ${left.map(({ code, path }) => code + path).join()}`);
  }

  /** What can be read can be gone on with. */
  async #judge_going_on(state: State, problems: FileSessionProblem[]): Promise<void> {
    const disk = this.#disk.copy();
    const { store } = this.#open(disk);
    const { revision } = await loaded(store);
    const outcome = await outcome_of(store.append("s", [message("new")], { revision }));
    const expected = JSON.stringify([...state.messages, message("new")]);
    const check = async (when: string) => {
      const { outcome: read, state: found } = await this.#read(this.#open(disk).store);
      const is_right = read === "done" && JSON.stringify(found?.messages) === expected;
      this.#expect(is_right, `${when}, load finds ${short(JSON.stringify(found?.messages ?? read))}`);
    };
    this.#expect(outcome === "done", `append ends with ${outcome}`);
    await check("after append");
    const torn = (await this.#open(disk).store.verify()).filter(({ code }) => code === "torn_journal");
    this.#expect(torn.length === 0, "after append there still is a torn tail");
    const flushed = await outcome_of(store.flush("s"));
    this.#expect(flushed === "done", `flush ends with ${flushed}`);
    await check("after flush");
    await this.#judge_clean(disk, "append and flush");
    const known = this.#sample.others.length + 1;
    const recovered = (await store.list()).length - known;
    const has_foreign = problems.some(({ code }) => code === "foreign_journal");
    this.#expect(recovered === (has_foreign ? 1 : 0), `there are ${recovered} recovered sessions`);
  }
}
