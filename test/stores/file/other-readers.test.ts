import { spawn } from "node:child_process";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { loaded, temporary_directory } from "../helpers.js";
import { use_children } from "./children.js";

const start_child = use_children();

/** A process that knows nothing but JSON: reads a file again and again, and prints how often, and what was wrong. */
const POLL = `
  const fs = require("node:fs");
  let [reads, ended] = [0, false];
  process.stdin.once("data", () => { ended = true; });
  console.log("polling");
  (function poll() {
    for (let n = 0; n < 20; n += 1, reads += 1) {
      const text = fs.readFileSync(process.argv[1], "utf8");
      try {
        const { metadata, store, messages, ...more } = JSON.parse(text);
        const is_whole = metadata.message_count === messages.length && messages.every(({ id }, m) => id === "m" + m);
        if (!is_whole || Object.keys(more).length > 0 || typeof store !== "object") throw new Error("not whole");
      } catch (error) {
        console.log("wrong: " + error + text.slice(0, 200));
      }
    }
    if (ended) { console.log("reads " + reads); process.exit(); }
    setImmediate(poll);
  })();
`;

/** Messages that are known by their place, some so long that the journal is folded often. */
function numbered(from: number, count: number) {
  const text = (n: number) => "x".repeat(n % 7 === 0 ? 20_000 : 100);
  return Array.from({ length: count }, (_, n) => ({
    role: "user" as const,
    id: `m${from + n}`,
    content: [{ type: "text" as const, text: text(from + n) }],
  }));
}

/** Everything that a writer does, without ever taking back what it has written. */
async function write(store: FileSessionStore): Promise<void> {
  let count = 1;
  for (let round = 0; round < 100; round += 1) {
    const { revision } = await loaded(store);
    await store.append("s", numbered(count, 2), { revision });
    count += 2;
    if (round % 10 === 3) await store.update("s", { label: `${round}` });
    if (round % 25 === 7) await store.flush("s");
    if (round % 50 === 9) await store.save("s", numbered(0, count));
  }
}

test("rule 33: another process finds a whole, valid file at every moment", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { durable: false });
  await store.save("s", numbered(0, 1));
  const child = spawn(process.execPath, ["-e", POLL, join(root, "s.json")]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  const polling = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      resolve();
    });
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  await polling;
  await write(store);
  child.stdin.write("end\n");
  await ended;
  expect(output).not.toContain("wrong");
  expect(Number(/reads (\d+)/.exec(output)?.[1])).toBeGreaterThan(100);
});

test("rule 34: another process that loads and lists finds whole sessions that never go back", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { durable: false });
  await store.save("s", numbered(0, 1));
  const child = start_child({ root, steps: ["watch"] });
  await child.printed("watching");
  await write(store);
  child.process.stdin.write("end\n");
  const { lines, errors } = await child.ended;
  expect(errors).toBe("");
  expect(lines.filter((line) => line.startsWith("wrong"))).toEqual([]);
  expect(Number(lines.find((line) => line.startsWith("reads"))?.split(" ")[1])).toBeGreaterThan(20);
});
