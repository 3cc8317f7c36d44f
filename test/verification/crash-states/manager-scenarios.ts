import { Conversation, deferred, next_reply, StreamingProvider } from "@simulacra-ai/core";
import { resolve_session } from "../../../src/lineage.js";
import { SessionManager } from "../../../src/manager/session-manager.js";
import { echo } from "../../support/echo.js";
import { user } from "../../support/messages.js";
import type { Scenario, Step, World } from "./record.js";

/** A conversation that saves itself. */
class Talk {
  readonly #world: World;
  readonly provider = new StreamingProvider(echo);
  readonly conversation = new Conversation(this.provider);
  readonly manager: SessionManager;
  readonly #problems: string[] = [];
  #saves: { id: string; messages: string }[] = [];
  #on_save: () => void = () => {};

  constructor(world: World, drafts: boolean) {
    this.#world = world;
    this.manager = new SessionManager(world.store, this.conversation, { drafts, draft_interval_ms: 0 });
    this.manager.on("lifecycle_error", ({ error }) => this.#problems.push(String(error)));
    this.manager.on("save", ({ id, messages }) => {
      const open = world.layer.log
        .flatMap((entry) => (entry.kind === "begin" || entry.kind === "end" ? [entry] : []))
        .filter(({ change }) => change.draft === undefined) // those never wait behind a save
        .at(-1);
      if (open?.kind === "begin" && open.change.is_traced) {
        this.#problems.push(`${id} is reported as saved while ${open.label} is under way`);
      }
      this.#saves.push({ id, messages: JSON.stringify(messages) });
      this.#on_save();
    });
  }

  get id(): string {
    return this.manager.current_session_id ?? "";
  }

  /** A turn that is over when it is reported as saved. */
  async turn(text: string): Promise<void> {
    const saved = new Promise<void>((resolve) => (this.#on_save = resolve));
    await this.conversation.prompt(text);
    await saved;
    await this.manager.list(); // behind everything that was asked for
    await this.check();
  }

  /** A turn of whose answer a part is stored before the rest comes. */
  async slow_turn(text: string): Promise<void> {
    const gate = deferred<void>();
    this.provider.enqueue({ text: "yes".padEnd(5000, "."), gate: gate.promise });
    const done = this.turn(text);
    await this.#drafted('"partial"');
    gate.resolve();
    await done;
  }

  /** A turn that breaks off: what there is of it is its draft. */
  async failed_turn(text: string): Promise<void> {
    this.provider.enqueue({ text: "half of it", chunks: 2, fail_stream: new Error("cut") });
    await Promise.allSettled([next_reply(this.conversation), this.conversation.prompt(text)]);
    await this.#drafted('"half');
  }

  /** Another manager, and what it makes of the draft. */
  async resumed(): Promise<void> {
    const { manager } = new Talk(this.#world, true);
    await manager.load(this.id);
    if (JSON.stringify(manager.draft) !== JSON.stringify(this.manager.draft)) {
      this.#problems.push(`the draft is ${JSON.stringify(manager.draft)}`);
    }
    await manager.resume_draft();
    await manager[Symbol.asyncDispose]();
    await this.manager.load(this.id);
  }

  /** Resolves when the newest draft that was asked for has this in it, and was acknowledged. */
  async #drafted(what: string): Promise<void> {
    const is_there = () => {
      const ends = this.#world.layer.log.flatMap((entry) => (entry.kind === "end" ? [entry.change] : []));
      return ends.findLast(({ draft }) => draft !== undefined)?.draft?.text?.includes(what) === true;
    };
    while (!is_there()) {
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  /** What was reported as saved last is what the store holds. */
  async check(): Promise<void> {
    const last = this.#saves.at(-1);
    this.#saves = [];
    if (last !== undefined) {
      const resolved = await resolve_session(last.id, (id) => this.#world.store.load(id));
      if (JSON.stringify(resolved?.messages) !== last.messages) {
        this.#problems.push(`${last.id} was reported as saved with other messages than it has`);
      }
    }
    if (this.#problems.length > 0) {
      throw new Error(this.#problems.join("; "));
    }
  }
}

type TalkStep = (talk: Talk, world: World) => Promise<unknown>;

const turn =
  (text: string): TalkStep =>
  (talk) =>
    talk.turn(text);

const slow_turn =
  (text: string): TalkStep =>
  (talk) =>
    talk.slow_turn(text);

const failed_turn =
  (text: string): TalkStep =>
  (talk) =>
    talk.failed_turn(text);

const begin: TalkStep = async (talk) => {
  talk.manager.start_new();
  await talk.manager.list();
};

const fork: TalkStep = (talk) => talk.manager.fork(talk.id);

/** Deletes the session that the current one inherits from. */
const delete_parent =
  (forks: "keep" | "cascade"): TalkStep =>
  async (talk) => {
    const [entry] = (await talk.manager.list()).filter(({ id }) => id === talk.id);
    return talk.manager.delete(entry?.parent_id ?? "", { forks });
  };

const rewind: TalkStep = (talk) => talk.manager.rewind(talk.conversation.messages[1]?.id ?? "");

const clear: TalkStep = async (talk) => talk.conversation.clear();

/** Another process goes on in the same session. */
const append_elsewhere: TalkStep = async (talk, { other }) => {
  const session = await other.load(talk.id);
  await other.append(talk.id, [user("theirs", "theirs")], { revision: session?.revision ?? "" });
};

const child: TalkStep = async (talk) => {
  const conversation = talk.conversation.spawn_child();
  await conversation.prompt("from a child");
  await talk.manager.flush();
};

const with_manager = (drafts: boolean, name: string, list: readonly TalkStep[]): Scenario => ({
  name: `manager: ${name}`,
  steps: () => {
    let talk: Talk | undefined;
    const steps = list.map(
      (step): Step =>
        (world) =>
          step((talk ??= new Talk(world, drafts)), world),
    );
    const end: Step = async () => {
      await talk?.manager[Symbol.asyncDispose]();
      await talk?.check();
    };
    return [...steps, end];
  },
});

const talking = (name: string, ...list: TalkStep[]) => with_manager(false, name, list);
const drafting = (name: string, ...list: TalkStep[]) => with_manager(true, name, list);

/** What an application asks of a manager that saves by itself. */
export const MANAGED: Scenario[] = [
  talking("turns", begin, turn("one"), turn("two"), turn("three")),
  talking("fork", begin, turn("one"), fork, turn("two")),
  talking(
    "rename",
    begin,
    (talk) => talk.manager.rename(talk.id, "L"),
    turn("one"),
    (talk) => talk.manager.rename(talk.id, "M"),
  ),
  talking("an explicit save", begin, turn("one"), (talk) => talk.manager.save({ model: "M" }), turn("two")),
  talking("delete of a parent", begin, turn("one"), fork, turn("two"), delete_parent("keep")),
  talking("delete with all forks", begin, turn("one"), fork, turn("two"), delete_parent("cascade")),
  talking("rewind", begin, turn("one"), turn("two"), rewind, turn("three")),
  talking("a replaced history", begin, turn("one"), clear, turn("two")),
  talking("a conflict", begin, turn("one"), append_elsewhere, turn("two")),
  talking("a child", begin, turn("one"), child, turn("two")),
  drafting("drafts", begin, turn("one"), slow_turn("two")),
  drafting("a failed turn", begin, failed_turn("one"), turn("two"), failed_turn("three"), slow_turn("four")),
  drafting("a failed turn that is resumed", begin, turn("one"), failed_turn("two"), (talk) => talk.resumed()),
  drafting("a draft that is discarded", begin, turn("one"), failed_turn("two"), (talk) => talk.manager.discard_draft()),
  drafting("a draft through a conflict", begin, turn("one"), failed_turn("two"), append_elsewhere, turn("three")),
  drafting("a fork beside a draft", begin, turn("one"), failed_turn("two"), fork, turn("three")),
];
