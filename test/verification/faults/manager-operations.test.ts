import { FileSessionStore, type SessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { HookedLayer, system_error } from "../../stores/file/hooked-layer.js";
import { quick_directory } from "../../stores/helpers.js";
import { turns } from "../../support/messages.js";
import { open_plain } from "../../support/open-session.js";
import { fork_after, history_of } from "../../support/histories.js";

type Opened = ReturnType<typeof open_plain>;

interface Operation {
  rule: number;
  what: string;
  /** Whether the session is a fork itself, and the operation cuts into what it inherits. */
  is_fork?: boolean;
  /** Whether another writer has gone on from the session meanwhile. */
  is_moved?: boolean;
  /** Whether the session itself may be gone. */
  removes?: boolean;
  run: (opened: Opened) => Promise<unknown>;
}

const OPERATIONS: Operation[] = [
  { rule: 16, what: "a rewind", run: ({ manager }) => manager.rewind("a1") },
  { rule: 16, what: "a rewind into what is inherited", is_fork: true, run: ({ manager }) => manager.rewind("a1") },
  {
    rule: 10,
    what: "a cleared conversation",
    run: ({ manager, conversation }) => {
      conversation.clear();
      conversation.turn("new");
      return manager.flush();
    },
  },
  {
    rule: 9,
    what: "a conflict",
    is_moved: true,
    run: ({ manager, conversation }) => {
      conversation.turn("ours");
      return manager.flush();
    },
  },
  { rule: 11, what: "a deletion", removes: true, run: ({ manager }) => manager.delete("s") },
];

const CASES = OPERATIONS.flatMap((operation) => [
  { ...operation, behind: "once", is_hit: (now: number, n: number) => now === n },
  { ...operation, behind: "with all behind it", is_hit: (now: number, n: number) => now >= n },
]);

/** Not every operation is met in every case; the cases begin at different ones, so that together they come close. */
const STRIDE = 7;
const MAX_OPERATIONS = 600;

async function histories(store: SessionStore): Promise<string[]> {
  const entries = await store.list();
  const all = entries.map(({ id }) => history_of(store, id).catch((error: Error) => [error.message]));
  return (await Promise.all(all)).map((history) => JSON.stringify(history).slice(0, -1));
}

/** What is lost where the nth operation of the file system fails; `undefined` once there is no such operation. */
async function run_with_fault(
  format: "json" | "ndjson",
  { is_fork, is_moved, removes, run, is_hit }: (typeof CASES)[number],
  n: number,
): Promise<string[] | undefined> {
  const root = quick_directory();
  const layer = new HookedLayer(undefined, { syncs: false });
  const store = new FileSessionStore(root, { format }, layer);
  const fresh = () => new FileSessionStore(root, { format });
  await store.save("root", turns(2), { kind: "root" });
  await (is_fork
    ? store.save("s", turns(1, "f"), { parent_id: "root", fork_message_id: "a2", fork_message_count: 4 })
    : store.save("s", turns(3), { kind: "root", label: "mine" }));
  const late = await fork_after(store, "s", 5, "late");
  const opened = open_plain(store);
  await opened.manager.load("s");
  if (is_moved) {
    const other = open_plain(fresh());
    await other.manager.load("s");
    other.conversation.turn("theirs");
    await other.manager.flush();
  }
  const before = [await history_of(fresh(), late), ...(removes ? [] : [await history_of(fresh(), "s")])];
  layer.forget();
  let was_hit = false;
  layer.hook = ({ n: now }) => {
    if (is_hit(now, n)) {
      was_hit = true;
      throw system_error("EIO");
    }
  };
  const outcome = await run(opened).then(
    () => "done",
    (error: unknown) => String(error),
  );
  layer.hook = () => undefined;
  const after = await histories(fresh());
  const lost = before.map((history) => JSON.stringify(history).slice(0, -1));
  const wrong = lost.filter((history) => !after.some((other) => other.startsWith(history)));
  return was_hit ? wrong.map((history) => `operation ${n} (${outcome}): ${history}`) : undefined;
}

describe.each(["json", "ndjson"] as const)("%s", (format) => {
  test.each(CASES)(
    "rule $rule: where any file operation of $what fails ($behind), nothing stored is lost",
    async (one) => {
      const lost: string[] = [];
      for (let n = 1 + (CASES.indexOf(one) % STRIDE); ; n += STRIDE) {
        const found = await run_with_fault(format, one, n);
        if (found === undefined) {
          break;
        }
        lost.push(...found);
        expect(n).toBeLessThan(MAX_OPERATIONS);
      }
      expect(lost).toEqual([]);
    },
  );
});
