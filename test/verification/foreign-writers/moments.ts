import { basename } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { has_code } from "../../../src/errors.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { HookedLayer, type Operation } from "../../stores/file/hooked-layer.js";
import { message, texts_of } from "../interleavings/history.js";
import { Ledger } from "./ledger.js";
import { PublishedWriter, type HalfWrite } from "./published-writer.js";

/** What a process of ours is doing when another program rewrites the file. */
const OURS: Record<string, (store: FileSessionStore, revision: string) => Promise<unknown>> = {
  append: (store, revision) => store.append("s", [message("<mine>")], { revision }),
  update: (store) => store.update("s", { label: "mine" }),
  flush: (store) => store.flush("s"),
  replace: (store, revision) => store.replace("s", [message("<mine>")], { revision }),
  "append and a fold beside it": async (store, revision) => {
    await store.append("s", [message(`<mine>${"x".repeat(84_000)}`)], { revision });
    await store.flush("s");
  },
};

interface Their {
  change: (messages: Message[]) => Message[];
  /** They die in the middle; only a write to two files has one. */
  half?: HalfWrite;
}

const THEIRS: Record<string, Their> = {
  append: { change: (messages) => [...messages, message("<theirs>")] },
  diverge: { change: () => [message("<theirs>")] },
  "change metadata": { change: (messages) => messages },
  "append lines, and die": { change: (messages) => [...messages, message("<theirs>")], half: "lines" },
  "write metadata, and die": { change: (messages) => [...messages, message("<theirs>")], half: "metadata" },
};

export interface Moments {
  count: number;
  losses: string[];
}

/** The changes that both make, the format, and whether the session has a journal. */
interface Case {
  what: string;
  act: (store: FileSessionStore, revision: string) => Promise<unknown>;
  their: Their;
  format: FileSessionFormat;
  has_journal: boolean;
}

const SETTINGS = (["json", "ndjson"] as const).flatMap((format) =>
  [true, false].map((has_journal) => ({ format, has_journal })),
);

export const CASES: readonly Case[] = SETTINGS.flatMap(({ format, has_journal }) =>
  Object.entries(OURS).flatMap(([ours, act]) =>
    Object.entries(THEIRS)
      .filter(([, { half }]) => half === undefined || format === "ndjson")
      .map(([theirs, their]) => {
        const what = `${format}: ${ours}${has_journal ? " beside a journal" : ""}, and they ${theirs}`;
        return { what, act, their, format, has_journal };
      }),
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
  { act, their, format, has_journal }: Case,
): Promise<{ operations: number; before: string; losses: string[] }> {
  const layer = new HookedLayer(undefined, { syncs: false });
  const ledger = new Ledger(root, new HookedLayer(undefined, { syncs: false }));
  const store = new FileSessionStore(root, { format }, layer);
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
      removed.push(...rewrite(new PublishedWriter(root, format), ledger, their));
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
function rewrite(theirs: PublishedWriter, ledger: Ledger, { change, half }: Their): string[] {
  const { messages = [], metadata = {} } = theirs.load("s") ?? {};
  theirs.save("s", { metadata, messages: change(messages) }, messages, half);
  const written = theirs.load("s")?.messages ?? [];
  const keys = (of: Message[]) => texts_of(of).map((text) => text.replace(/>.*/, ">"));
  ledger.remove(keys(messages), keys(written));
  ledger.owe(keys(written));
  return keys(messages).filter((key) => !keys(written).includes(key));
}

/** True for a rename that replaces a file of theirs, and for the last looks at the lock and the files before it. */
function is_blind(operations: readonly Operation[], at: number): boolean {
  const next = operations.findIndex(
    ({ n, name, path }) => n >= at && name === "rename" && /\/s\.((meta\.)?json|ndjson)$/.test(path),
  );
  const between = operations.slice(at - 1, next);
  return next >= 0 && between.every(({ name }) => name === "readlink" || name === "stat");
}
