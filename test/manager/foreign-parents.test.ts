import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { said } from "../support/histories.js";
import { texts, turns } from "../support/messages.js";
import { open_plain } from "../support/open-session.js";
import { temporary_directory } from "../support/temporary-directory.js";

test("rule 10.1: a session whose stored parent can be none keeps its replaced history, too", async () => {
  const { path, remove } = await temporary_directory();
  onTestFinished(remove);
  await mkdir(path, { recursive: true });
  const date = new Date(0).toISOString();
  const metadata = { id: "s", created_at: date, updated_at: date, message_count: 2, parent_id: "../x" };
  await writeFile(join(path, "s.json"), JSON.stringify({ metadata, messages: turns(1) }));
  const store = new FileSessionStore(path);
  const { manager, conversation, errors } = open_plain(store);
  await manager.load("s");
  conversation.clear();
  conversation.turn("instead");
  await manager.save({ custom: { a: 1 } });
  await manager.flush();
  expect(texts((await store.load("s"))?.messages)).toEqual(said("instead"));
  const [kept] = (await store.list()).filter(({ id }) => id !== "s");
  expect((await store.load(kept?.id ?? ""))?.messages).toEqual(turns(1));
  expect(errors.map(({ operation }) => operation)).toEqual(["load"]); // the parent is missing
});
