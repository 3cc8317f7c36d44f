import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { FileSessionStore, SessionManager, type FileSessionFormat } from "@simulacra-ai/session";
import { describe, expect, test, vi } from "vitest";
import { LEASE_POLICY } from "../../../src/stores/file/lock/session-leases.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { bundle } from "../../support/bundle.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import { loaded, message, quick_directory } from "../helpers.js";
import { append, texts_in, tree } from "./files.js";

/** A store that compacts a session so many milliseconds after its last change. */
function soon_compacting(root: string, format: FileSessionFormat, idle_ms: number, idle_ms_per_mb = 0) {
  const options = { format, durable: false };
  return new FileSessionStore(root, options, NODE_FILE_LAYER, LEASE_POLICY, { idle_ms, idle_ms_per_mb });
}

describe.each(["json", "ndjson"] as const)("%s", (format) => {
  const files = format === "json" ? ["s.json"] : ["s.meta.json", "s.ndjson"];

  test("rule 30.1: a session is at rest soon after its last change, and not before", async () => {
    const root = quick_directory();
    const store = soon_compacting(root, format, 150);
    await store.save("s", []);
    for (let n = 0; n < 5; n += 1) {
      await append(store, [`${n}`]);
      await sleep(50);
      expect(tree(root)).toContain("s.journal");
    }
    await vi.waitFor(() => expect(tree(root)).toEqual(files), { timeout: 5_000 });
    expect(await texts_in(root)).toEqual(["0", "1", "2", "3", "4"]);
    await append(store, ["5"]);
    await store.update("s", { label: "L" });
    await vi.waitFor(() => expect(tree(root)).toEqual(files), { timeout: 5_000 });
    expect((await loaded(store)).metadata.label).toBe("L");
  });

  test("rule 30.1: a long session is at rest later", async () => {
    const root = quick_directory();
    const store = soon_compacting(root, format, 1, 100_000);
    await store.save("s", [message("x".repeat(100_000))]);
    await append(store, ["more"]);
    await sleep(200);
    expect(tree(root)).toContain("s.journal");
  });
});

test("rule 30.1: a session that only waits to be at rest keeps no process alive", async () => {
  const root = quick_directory();
  const path = join(root, "program.ts");
  const index = new URL("../../../src/index.ts", import.meta.url).pathname;
  fs.writeFileSync(
    path,
    `import { FileSessionStore } from ${JSON.stringify(index)};
     const store = new FileSessionStore(${JSON.stringify(join(root, "sessions"))});
     await store.save("s", [{ role: "user", id: "x", content: [{ type: "text", text: "x".repeat(30_000_000) }] }]);
     const { revision } = await store.load("s");
     await store.append("s", [{ role: "user", id: "y", content: [] }], { revision });`,
  );
  const { program, remove } = await bundle(new URL(`file://${path}`), root);
  expect(spawnSync(process.execPath, [program], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  // The session would be at rest after 300 seconds.
  remove();
  expect(tree(join(root, "sessions"))).toEqual(["s.journal", "s.json"]);
});

test("rule 30.3: a process that only reads never compacts", async () => {
  const root = quick_directory();
  await append(await saved(soon_compacting(root, "json", 100_000)), ["more"]);
  const reader = soon_compacting(root, "json", 1);
  await reader.load("s");
  await reader.list();
  await sleep(50);
  expect(tree(root)).toEqual(["s.journal", "s.json"]);
});

async function saved(store: FileSessionStore): Promise<FileSessionStore> {
  await store.save("s", [message("one")]);
  return store;
}

test("rule 15.1: `using` leaves the sessions that a manager wrote at rest", async () => {
  const root = quick_directory();
  const store = soon_compacting(root, "json", 100_000);
  const conversation = new PlainConversation();
  {
    using manager = new SessionManager(store, conversation);
    manager.start_new();
    conversation.turn("one");
    await vi.waitFor(() => expect(tree(root)).toHaveLength(1));
    conversation.turn("two");
    await vi.waitFor(() => expect(tree(root)).toHaveLength(2));
  }
  await vi.waitFor(() => expect(tree(root)).toHaveLength(1), { timeout: 5_000 });
  const [entry] = await store.list();
  expect(entry?.message_count).toBe(4);
});

test("rule 30: of thousands of sessions that were written, a store remembers a thousand", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root, { durable: false });
  for (let n = 0; n < 1_100; n += 1) {
    await store.save(`s${n}`, [message("one")]);
  }
  await append(store, ["two"], "s0");
  expect(await texts_in(root, "s0")).toEqual(["one", "two"]);
});
