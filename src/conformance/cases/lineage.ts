import type { SessionMetadata } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check_same, listed, loaded, messages, new_id } from "../check.js";

const group = "lineage";

const FIELDS = ["parent_id", "fork_message_id", "fork_message_count", "detached", "is_checkpoint", "kind"] as const;

function lineage_of(metadata: SessionMetadata | undefined): unknown[] {
  return FIELDS.map((field) => metadata?.[field]);
}

export const LINEAGE: readonly ConformanceCase[] = [
  {
    group,
    name: "fields of lineage and checkpoints are kept as given, in load and list",
    async run({ store }) {
      const [parent, fork, checkpoint] = [new_id("parent"), new_id("fork"), new_id("checkpoint")];
      const given = messages("one", "two");
      await store.save(parent, given);
      const of_fork = {
        parent_id: parent,
        fork_message_id: given[1]?.id as string,
        fork_message_count: 2,
        detached: false,
        kind: "fork",
      } as const;
      const checkpoint_state = { message_id: given[0]?.id as string, summary: "what was said" };
      await store.save(fork, messages("three"), of_fork);
      await store.save(checkpoint, [], { parent_id: parent, detached: true, is_checkpoint: true, kind: "checkpoint" });
      await store.save(parent, given, { checkpoint_state });
      for (const found of [(await loaded(store, fork)).metadata, await listed(store, fork)]) {
        check_same(lineage_of(found), lineage_of(of_fork as unknown as SessionMetadata), "of the fork");
      }
      check_same((await loaded(store, checkpoint)).metadata.is_checkpoint, true, "is_checkpoint");
      check_same((await listed(store, parent))?.checkpoint_state, checkpoint_state, "checkpoint_state");
    },
  },
  {
    group,
    name: "a parent need not be there, and its messages are not the fork's",
    async run({ store }) {
      const [id, given] = [new_id(), messages("own")];
      await store.save(id, given, { parent_id: "nobody", fork_message_id: "nothing" });
      const { metadata, messages: found } = await loaded(store, id);
      check_same([metadata.parent_id, metadata.message_count, found], ["nobody", 1, given], "the session");
    },
  },
  {
    group,
    name: "a fork outlives its parent in the store",
    async run({ store }) {
      const [parent, fork, given] = [new_id(), new_id(), messages("own")];
      await store.save(parent, messages("one"));
      await store.save(fork, given, { parent_id: parent });
      await store.delete(parent);
      const { metadata, messages: found } = await loaded(store, fork);
      check_same([metadata.parent_id, found], [parent, given], "the fork");
    },
  },
];
