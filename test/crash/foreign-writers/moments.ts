import { basename } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { has_code } from "../../../src/errors.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { HookedLayer, type Operation } from "../../stores/file/hooked-layer.js";
import { message, texts_of } from "../interleavings/history.js";
import { Ledger } from "./ledger.js";
import { PublishedWriter } from "./published-writer.js";

/** What a process of ours is doing when another program rewrites the file. */
const OURS: Record<string, (store: FileSessionStore, revision: string) => Promise<unknown>> = {
  append: (store, revision) => store.append("s", [message("<mine>")], { revision }),
  update: (store) => store.update("s", { label: "mine" }),
  flush: (store) => store.flush("s"),
  replace: (store, revision) => store.replace("s", [message("<mine>")], { revision }),
  "append and a fold beside it": async (store, revision) => {
    await store.append("s", [message(`<mine>${"x".repeat(70_000)}`)], { revision });
    await store.flush("s");
  },
};

const THEIRS: Record<string, (messages: Message[]) => Message[]> = {
  append: (messages) => [...messages, message("<theirs>")],
  diverge: () => [message("<theirs>")],
  "change metadata": (messages) => messages,
};

export interface Moments {
  count: number;
  losses: string[];
}

/** What both do to the session, and whether it has a journal. */
interface Case {
  what: string;
  act: (store: FileSessionStore, revision: string) => Promise<unknown>;
  change: (messages: Message[]) => Message[];
  has_journal: boolean;
}

export const CASES: readonly Case[] = Object.entries(OURS).flatMap(([ours, act]) =>
  Object.entries(THEIRS).flatMap(([theirs, change]) =>
    [true, false].map((has_journal) => ({
      what: `${ours}${has_journal ? " beside a journal" : ""}, and they ${theirs}`,
      act,
      change,
      has_journal,
    })),
  ),
);

/**
 * Another program rewrites a session, in one step, before an operation of a change of ours. Both are there in the end,
 * whatever is not taken back or replaced knowingly. One moment cannot be closed: between our last look at the file and
 * the rename that replaces it. Looks at every moment of the case from the `first` on, `stride` operations apart.
 */
export async function rewritten_at_moments(
  make_root: () => string,
  one: Case,
  { first, stride }: { first: number; stride: number },
): Promise<Moments> {
  const moments: Moments = { count: 0, losses: [] };
  for (let at = first, last = at; at <= last; at += stride) {
    const found = await rewritten_at(make_root(), at, one);
    moments.count += 1;
    moments.losses.push(...found.losses.map((loss) => `${one.what} before ${at}, ${found.before}: ${loss}`));
    last = found.operations;
  }
  return moments;
}

async function rewritten_at(
  root: string,
  at: number,
  { act, change, has_journal }: Case,
): Promise<{ operations: number; before: string; losses: string[] }> {
  const layer = new HookedLayer(undefined, { syncs: false });
  const ledger = new Ledger(root, new HookedLayer(undefined, { syncs: false }));
  const store = new FileSessionStore(root, {}, layer);
  await store.save("s", [message("<one>")]);
  ledger.owe(["<one>"]);
  if (has_journal) {
    const { revision = "" } = (await store.load("s")) ?? {};
    await store.append("s", [message("<two>")], { revision });
    ledger.owe(["<two>"]);
  }
  const { revision = "" } = (await store.load("s")) ?? {};
  layer.forget();
  const removed: string[] = [];
  layer.hook = ({ n }) => {
    if (n === at) {
      removed.push(...rewrite(new PublishedWriter(root), ledger, change));
    }
  };
  const outcome = await act(store, revision).then(
    () => "done",
    (error: unknown) => (has_code(error, "conflict") ? "conflict" : String(error)),
  );
  const operations = [...layer.operations];
  layer.hook = () => undefined;
  const is_replaced = act === OURS.replace && outcome === "done";
  ledger.remove(is_replaced ? ["<one>", "<two>"] : []);
  const adds = act !== OURS.flush && act !== OURS.update && !removed.includes("<mine>");
  ledger.owe(outcome === "done" && adds ? ["<mine>"] : []);
  if (is_blind(operations, at)) {
    ledger.remove(["<theirs>"]);
  }
  const next = new FileSessionStore(root, {}, new HookedLayer(undefined, { syncs: false }));
  await next.flush();
  await next.update("s", { custom: { next: true } });
  await next.flush();
  const wrong = /^(done|conflict)$/.test(outcome) ? [] : [outcome];
  const { name = "", path = "" } = operations[at - 1] ?? {};
  return {
    operations: operations.length,
    before: `${name} ${basename(path)}`,
    losses: [...wrong, ...(await ledger.check())],
  };
}

/** Returns what they removed. */
function rewrite(theirs: PublishedWriter, ledger: Ledger, change: Case["change"]): string[] {
  const { messages = [], metadata = {} } = theirs.load("s") ?? {};
  const written = change(messages);
  theirs.save("s", written, metadata);
  const keys = (of: Message[]) => texts_of(of).map((text) => text.replace(/>.*/, ">"));
  ledger.remove(keys(messages), keys(written));
  ledger.owe(keys(written));
  return keys(messages).filter((key) => !keys(written).includes(key));
}

/** Whether it is the rename that replaces the snapshot, or one of the last looks before it: at the lock and the file. */
function is_blind(operations: readonly Operation[], at: number): boolean {
  const next = operations.findIndex(({ n, name, path }) => n >= at && name === "rename" && path.endsWith("/s.json"));
  const between = operations.slice(at - 1, next);
  return next >= 0 && between.every(({ name }) => name === "readlink" || name === "stat");
}
