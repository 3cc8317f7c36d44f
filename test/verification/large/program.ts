import fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Message } from "@simulacra-ai/core";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";

/** The session that a process writes and reads. */
export interface LargeTask {
  root: string;
  format: FileSessionFormat;
  mib: number;
}

const MIB_EACH = 22;

function message_of(n: number, text: string): Message {
  return { role: "user", id: `m${n}`, content: [{ type: "text", text }] };
}

function check(is_right: boolean, problem: string): void {
  if (!is_right) {
    console.log(`LOST: ${problem}`);
  }
}

/** Writes a session of so many MiB, message by message, and does with it all that one does with a session. */
async function run({ root, format, mib }: LargeTask): Promise<void> {
  const store = new FileSessionStore(root, { format, durable: false });
  const text = "x".repeat(MIB_EACH * 1024 * 1024);
  const count = Math.ceil(mib / MIB_EACH);
  let { revision } = await store.replace("s", [], { revision: null });
  for (let n = 0; n < count; n += 1) {
    ({ revision } = await store.append("s", [message_of(n, text)], { revision }));
  }
  await look(new FileSessionStore(root), count, "with a journal", ["leftover"]);
  await store.flush();
  check(!fs.existsSync(join(root, "s.journal")), "the journal is there after flush()");
  await look(new FileSessionStore(root), count, "after flush()");
  const path = join(root, format === "json" ? "s.json" : "s.ndjson");
  fs.truncateSync(path, fs.statSync(path).size - 100);
  const { messages, repaired } = await new FileSessionStore(root).repair("s");
  check(repaired && messages === count - 1, `repair() leaves ${messages} of ${count - 1} messages`);
  await look(new FileSessionStore(root), count - 1, "after repair()", ["set_aside"]);
}

async function look(store: FileSessionStore, count: number, when: string, expected: string[] = []): Promise<void> {
  const [listed] = await store.list();
  check(
    listed?.message_count === count && listed.damaged === undefined,
    `${when}, list() says ${JSON.stringify(listed)}`,
  );
  const problems = (await store.verify()).filter(({ code }) => !expected.includes(code));
  check(problems.length === 0, `${when}, verify() says ${JSON.stringify(problems)}`);
  const loaded = await store.load("s").catch((error: unknown) => String(error));
  const ids = typeof loaded === "object" ? loaded.messages.map(({ id }) => id) : [];
  const is_whole = ids.length === count && ids.every((id, n) => id === `m${n}`);
  check(is_whole, `${when}, load() returns ${typeof loaded === "object" ? `${ids.length} messages` : loaded}`);
}

await run(JSON.parse(process.argv[2] ?? "") as LargeTask);
console.log("done");
