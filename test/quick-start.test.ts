import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { StreamingProvider, type ModelProvider } from "@simulacra-ai/core";
import { FileSessionStore } from "@simulacra-ai/session";
import { afterEach, expect, test } from "vitest";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const README = join(HERE, "../README.md");
const directories: string[] = [];

afterEach(async () => {
  await Promise.all(directories.splice(0).map((directory) => rm(directory, { recursive: true })));
});

/** The first example of the README, as a module. It lies below `test/`, so that its imports resolve as everywhere. */
async function load_quick_start(): Promise<(provider: ModelProvider, directory: string) => Promise<void>> {
  const block = /```ts\n([\s\S]*?)```/.exec((await readFile(README, "utf8")).replaceAll("\r\n", "\n"))?.[1];
  const directory = await mkdtemp(join(HERE, "quick-start-"));
  directories.push(directory);
  await writeFile(join(directory, "quick-start.ts"), block ?? "");
  const module = (await import(pathToFileURL(join(directory, "quick-start.ts")).href)) as {
    chat: (provider: ModelProvider, directory: string) => Promise<void>;
  };
  return module.chat;
}

test("rule 15: the quick start of the README stores the answer that streams on after prompt() has resolved", async () => {
  const chat = await load_quick_start();
  const sessions = join(directories[0] ?? "", "sessions");
  await chat(new StreamingProvider([{ text: "In Bergen.", delay_ms: 20, chunks: 4 }]), sessions);
  await chat(new StreamingProvider([{ text: "Still in Bergen." }]), sessions);

  const store = new FileSessionStore(sessions);
  const entries = await store.list();
  expect(entries).toHaveLength(1);
  const stored = await store.load(entries[0]?.id ?? "");
  expect(stored?.messages.map((message) => message.role)).toEqual(["user", "assistant", "user", "assistant"]);
  expect(JSON.stringify(stored?.messages)).toContain("Still in Bergen.");
});
