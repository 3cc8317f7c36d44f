import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { SessionDraft } from "../../../src/types.js";
import { assistant } from "../../support/messages.js";
import { ROOT } from "./contents.js";
import { of_dead_process } from "./crash-model.js";
import type { Scenario, Step } from "./record.js";
import { append, append_long, flush, message, remove, replace, revision_of, save, update } from "./steps.js";

/** Of the prompt that `append(name)` and its like store; of the answer, so many characters. */
function draft_of(name: string, answered?: number): SessionDraft {
  const partial = answered === undefined ? undefined : assistant("".padEnd(answered, `${name} `), `${name} answer`);
  return { prompt: message(name), ...(partial && { partial }), updated_at: "2025-01-01T00:00:00.000Z" };
}

const draft =
  (name: string, answered?: number): Step =>
  ({ store }) =>
    store.set_draft("s", draft_of(name, answered));

const drop: Step = ({ store }) => store.set_draft("s", undefined);

const append_turn =
  (name: string): Step =>
  async (world) =>
    world.store.append("s", [message(name), assistant("yes", `${name} answer`)], {
      revision: await revision_of(world),
    });

/** Puts a session in the place of this one, under its own id. */
const save_as =
  (id: string, ...names: string[]): Step =>
  ({ store }) =>
    store.save(
      id,
      names.map((name) => message(name)),
      id === "s" ? {} : { parent_id: "s" },
    );

/** Another process that comes as far as this operation of a draft, and no further: it has ended by then. */
const die_in_draft =
  (label: string, name: string): Step =>
  async ({ layer, options }) => {
    const { reached } = layer.hold(label);
    void new FileSessionStore(ROOT, options, layer).set_draft("s", draft_of(name, 5000));
    await reached;
    const lock = layer.disk.node_at(`${ROOT}/s.draft-lock`);
    if (lock?.kind === "link") {
      lock.target = of_dead_process(lock.target);
    } else if (lock?.kind === "file") {
      lock.data = Buffer.from(of_dead_process(lock.data.toString()));
    } else {
      throw new Error("a draft is changed without its lock");
    }
  };

const steps = (...list: Step[]) => ({ steps: () => list });

/** What is asked of the draft of a session. */
export const DRAFTS: Scenario[] = [
  { name: "a first draft", ...steps(save("a"), draft("p"), append("b")) },
  { name: "a long first draft", ...steps(save("a"), draft("p", 5000), update({ label: "L" })) },
  { name: "a draft over another", ...steps(save("a"), draft("p"), draft("q", 5000), draft("r")) },
  { name: "a draft that grows", ...steps(save("a"), draft("p"), draft("p", 10), draft("p", 5000), draft("p", 9000)) },
  { name: "a draft that is dropped", ...steps(save("a"), draft("p"), drop, draft("p", 5000), drop, drop) },
  {
    name: "drafts and their turns",
    ...steps(save("a"), draft("p"), draft("p", 10), append_turn("p"), draft("q"), append_turn("q"), flush),
  },
  { name: "replace with a draft's turn", ...steps(save("a"), draft("c"), replace("c"), draft("d"), replace("d")) },
  { name: "save with a draft's turn", ...steps(save("a"), draft("b"), save_as("s", "a", "b"), draft("c")) },
  {
    name: "turns beside another draft",
    ...steps(save("a"), draft("p", 10), append("b"), append_long("c"), replace("d"), save("e"), flush),
  },
  { name: "a draft behind its turn", ...steps(save("a"), append("b"), draft("b"), append("c"), draft("d")) },
  { name: "delete with a draft", ...steps(save("a", { parent_id: "p" }), draft("p", 5000), append("b"), remove) },
  {
    name: "a session under the id of a deleted one, which had a draft",
    ...steps(save("a"), draft("p", 5000), remove, save("b"), draft("q"), remove),
  },
  {
    name: "a fork beside a draft",
    ...steps(save("a"), draft("p"), save_as("t", "x"), append_turn("p"), ({ store }) =>
      store.set_draft("t", draft_of("y")),
    ),
  },
  {
    name: "a first draft beside one that its writer did not finish",
    ...steps(save("a"), die_in_draft("rename to {id}.draft", "x"), draft("p"), append_turn("p")),
  },
  {
    name: "a draft over another beside one that its writer did not finish",
    ...steps(save("a"), draft("p"), die_in_draft("rename to {id}.draft", "x"), draft("q"), append("b"), flush),
  },
  {
    name: "turns beside a draft that its writer did not finish",
    ...steps(save("a"), draft("p"), die_in_draft("rename to {id}.draft", "x"), append_turn("p"), flush, draft("q")),
  },
];
