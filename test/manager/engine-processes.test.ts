import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { texts, turns } from "../support/messages.js";
import { metadata_of, open_plain } from "../support/open-session.js";
import { temporary_directory } from "../support/temporary-directory.js";
import type { EngineTask } from "./engine-process.js";
import { history_of } from "../support/histories.js";
import { TSX } from "../support/tsx.js";

const PROGRAM = fileURLToPath(new URL("engine-process.ts", import.meta.url));
const TURNS = 8;

/** A process that has loaded its session and waits for `run`, which resolves with what it printed. */
async function start(task: EngineTask): Promise<{ run: () => Promise<string[]> }> {
  const child = spawn(process.execPath, [...TSX, PROGRAM, JSON.stringify(task)]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const closed = once(child, "close");
  await new Promise<void>((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => (line === "loaded" ? resolve() : lines.push(line)));
    child.on("close", (code) => reject(new Error(`it ended early with ${code}: ${errors}`)));
  });
  return {
    run: async () => {
      child.stdin.write("go\n");
      await closed;
      expect(errors).toBe("");
      return lines;
    },
  };
}

test.each(["json", "ndjson"] as const)(
  "rule 9: two processes that spawn children and make checkpoints in one session in %s keep both histories",
  async (format) => {
    const { path, remove } = await temporary_directory();
    onTestFinished(remove);
    const store = new FileSessionStore(path, { format });
    await store.save("s", turns(1), { kind: "root" });
    const names = ["red", "blue"];
    const processes = await Promise.all(
      names.map((name) => start({ root: path, format, session_id: "s", name, turns: TURNS })),
    );
    const printed = await Promise.all(processes.map(({ run }) => run()));
    expect(printed.flat().filter((line) => line.startsWith("error"))).toEqual([]);
    const conflicts = printed.flat().filter((line) => line.startsWith("conflict s "));
    expect(conflicts).toHaveLength(1);
    const finals: string[] = [];
    for (const [n, name] of names.entries()) {
      const [, id = "", checkpoint] = printed[n]?.at(-1)?.split(" ") ?? [];
      finals.push(id);
      const said = Array.from({ length: TURNS }, (_, turn) => [`${name} ${turn + 1}`, "ok"]).flat();
      expect(await history_of(store, id)).toEqual([...texts(turns(1))!, ...said]);
      expect((await metadata_of(store, id)).checkpoint_state?.message_id).toBe(checkpoint);
      const { manager, conversation } = open_plain(store, { auto_save: false });
      await manager.load(id);
      expect(conversation.messages.map((message) => message.id)).toContain(checkpoint);
      expect(conversation.checkpoint_state?.message_id).toBe(checkpoint);
    }
    expect([...finals].sort()).toEqual(["s", conflicts[0]?.split(" ")[2]].sort());
    const entries = await store.list();
    const children = entries.filter(({ kind }) => kind === "child");
    expect(children).toHaveLength(names.length * TURNS);
    expect(entries.filter(({ kind }) => kind === "checkpoint")).toHaveLength(names.length);
    for (const entry of entries.filter(({ id }) => !finals.includes(id))) {
      expect([entry.detached, finals.includes(entry.parent_id ?? "")]).toEqual([true, true]);
    }
    for (const { id } of children) {
      expect(await history_of(store, id)).toEqual([expect.stringMatching(/^child of (red|blue) \d$/), "ok"]);
    }
    expect(await store.verify()).toEqual([]);
  },
);
