import type { Scenario, Step, World } from "./record.js";
import {
  append,
  append_elsewhere,
  append_huge,
  append_long,
  flush,
  flush_elsewhere,
  remove,
  save,
  update,
} from "./steps.js";

/** Appends until a compaction begins, and resolves when that has come as far as this operation. Returns what lets it go on. */
export async function hold_compaction(world: World, label: string): Promise<() => void> {
  await append("the journal is there")(world);
  const { reached, let_go } = world.layer.hold(label);
  await append_huge("huge")(world);
  await reached;
  return let_go;
}

/** A compaction that is held at this operation while these steps are taken. */
const compaction_beside =
  (label: string, ...meanwhile: Step[]): Step =>
  async (world) => {
    const let_go = await hold_compaction(world, label);
    for (const step of meanwhile) {
      await step(world);
    }
    let_go();
    await world.layer.quiet();
  };

/** The same, while these steps wait for their turn. */
const compaction_before =
  (label: string, ...then: Step[]): Step =>
  async (world) => {
    const let_go = await hold_compaction(world, label);
    const waiting = Promise.all(then.map((step) => step(world)));
    let_go();
    await waiting;
  };

/** Where the new snapshot is written, and synced. */
export const WRITTEN = "close {id}.tmp";
/** Where it is to be put in place: the first rename gives it the name that belongs to the lock. */
const PUT_IN_PLACE = "rename to {id}.tmp";

const steps = (...list: Step[]) => ({ steps: () => list });

/** Compactions beside appends. */
export const COMPACTIONS: Scenario[] = [
  { name: "a compaction beside nothing", ...steps(save("a"), append_huge("b"), append("c")) },
  {
    name: "a compaction beside appends",
    ...steps(save("a"), compaction_beside(WRITTEN, append("b"), append_long("c"), update({ label: "L" })), append("d")),
  },
  {
    name: "a compaction beside appends, of a fork",
    ...steps(save("a", { parent_id: "p" }), compaction_beside("create {id}.tmp", append("b"), append("c")), flush),
  },
  {
    name: "appends that wait for a compaction",
    ...steps(save("a"), append("b"), compaction_before(PUT_IN_PLACE, append("c"))),
  },
  {
    name: "a compaction beside another process",
    ...steps(
      save("a"),
      append_elsewhere("x"),
      flush_elsewhere,
      compaction_beside(WRITTEN, append_elsewhere("b"), append("c")),
      append_elsewhere("d"),
    ),
  },
  {
    name: "a compaction that another process overtakes",
    // The other one is at work already: what it finds lying about at its first write counts as left by the dead.
    ...steps(
      save("a"),
      append_elsewhere("b"),
      flush_elsewhere,
      compaction_beside(WRITTEN, append_elsewhere("c"), flush_elsewhere, append_elsewhere("d")),
      append("e"),
    ),
  },
  {
    name: "a compaction that a save makes needless",
    ...steps(save("a"), compaction_before(WRITTEN, save("b")), append("c")),
  },
  { name: "a compaction that a delete makes needless", ...steps(save("a"), compaction_before(WRITTEN, remove)) },
  { name: "a compaction that a flush waits for", ...steps(save("a"), compaction_before(WRITTEN, flush), append("b")) },
];
