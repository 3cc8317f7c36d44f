/**
 * One of several processes that write to the same store, and tell the parent what was acknowledged.
 *
 * Usage: writer.ts TASK, with an IPC channel for the report.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Message } from "@simulacra-ai/core";
import { RedisSessionStore } from "@simulacra-ai/session/redis";
import { SqlSessionStore } from "@simulacra-ai/session/sql";
import type { Address } from "./backend.js";
import { connect_redis } from "./redis-client.js";
import { connect_postgres } from "./sql-backends.js";
import { own_session, SHARED_SESSION, type WriterReport, type WriterTask } from "./writer-task.js";

const LONGEST_START_MS = 60_000;

const task = JSON.parse(process.argv[2] ?? "") as WriterTask;
process.on("disconnect", () => process.exit(1)); // nobody is there to hear of it
const store = await open(task.address);
const report: WriterReport = { written: {}, conflicts: 0 };
const own = own_session(task);
await store.replace(own, [], { revision: null });
await all_are_there();
let revision = (await store.load(own))?.revision ?? "";
for (let n = 0; n < task.appends; n += 1) {
  await append_to_shared(`${task.name}-shared-${n}`);
  const message = message_of(`${task.name}-own-${n}`);
  ({ revision } = await store.append(own, [message], { revision }));
  acknowledged(own, message);
}
process.send?.(report, () => process.exit(0));

async function open(address: Address) {
  if (address.kind === "redis") {
    return new RedisSessionStore(await connect_redis(), { prefix: address.prefix });
  }
  return new SqlSessionStore(connect_postgres(), { schema: address.schema, table_prefix: `${address.name}_` });
}

async function all_are_there(): Promise<void> {
  const began = performance.now();
  while ((await store.list()).length < task.processes + 1) {
    if (performance.now() - began > LONGEST_START_MS) {
      throw new Error("the other processes have not begun");
    }
    await pause(20);
  }
}

async function append_to_shared(id: string): Promise<void> {
  const message = message_of(id);
  for (;;) {
    const session = await store.load(SHARED_SESSION);
    try {
      await store.append(SHARED_SESSION, [message], { revision: session?.revision ?? "" });
      acknowledged(SHARED_SESSION, message);
      return;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "conflict") {
        throw error;
      }
      report.conflicts += 1;
    }
  }
}

function message_of(id: string): Message {
  return { role: "user", id, content: [{ type: "text", text: `What ${id} says.` }] };
}

function acknowledged(session: string, { id = "" }: Message): void {
  (report.written[session] ??= []).push(id);
}
