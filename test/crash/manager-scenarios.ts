import { Conversation, StreamingProvider } from "@simulacra-ai/core";
import { resolve_session } from "../../src/lineage.js";
import { SessionManager } from "../../src/session-manager.js";
import { user } from "../support/messages.js";
import type { Scenario, Step, World } from "./record.js";

/** A conversation that saves itself. */
class Talk {
  readonly #world: World;
  readonly conversation = new Conversation(new StreamingProvider(() => ({ text: "yes" })));
  readonly manager: SessionManager;
  readonly #problems: string[] = [];
  #saves: { id: string; messages: string }[] = [];
  #on_save: () => void = () => {};

  constructor(world: World) {
    this.#world = world;
    this.manager = new SessionManager(world.store, this.conversation);
    this.manager.on("lifecycle_error", ({ error }) => this.#problems.push(String(error)));
    this.manager.on("save", ({ id, messages }) => {
      const open = world.layer.log.filter((entry) => entry.kind === "begin" || entry.kind === "end").at(-1);
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

const talking = (name: string, ...list: TalkStep[]): Scenario => ({
  name: `manager: ${name}`,
  steps: () => {
    let talk: Talk | undefined;
    const steps = list.map(
      (step): Step =>
        (world) =>
          step((talk ??= new Talk(world)), world),
    );
    const end: Step = async () => {
      await talk?.manager[Symbol.asyncDispose]();
      await talk?.check();
    };
    return [...steps, end];
  },
});

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
];
