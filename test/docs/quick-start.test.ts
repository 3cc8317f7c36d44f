import { join } from "node:path";
import { Conversation, StreamingProvider, type ModelProvider } from "@simulacra-ai/core";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";
import { quick_directory } from "../stores/helpers.js";
import { import_example } from "../support/example-module.js";

interface QuickStart {
  chat: (provider: ModelProvider, directory: string) => Promise<void>;
}

interface Tour {
  tour: (conversation: Conversation, directory: string) => Promise<void>;
}

test("rule 15: the quick start of the README stores the answer that streams on after prompt() has resolved", async () => {
  const { chat } = await import_example<QuickStart>("README.md", "function chat");
  const sessions = join(quick_directory(), "sessions");
  await chat(new StreamingProvider([{ text: "In Bergen.", delay_ms: 20, chunks: 4 }]), sessions);
  await chat(new StreamingProvider([{ text: "Still in Bergen." }]), sessions);

  const store = new FileSessionStore(sessions);
  const entries = await store.list();
  expect(entries).toHaveLength(1);
  const stored = await store.load(entries[0]?.id ?? "");
  expect(stored?.messages.map((message) => message.role)).toEqual(["user", "assistant", "user", "assistant"]);
  expect(JSON.stringify(stored?.messages)).toContain("Still in Bergen.");
});

test("rule 8: the tour of the README goes to its end, with an answer that streams on too", async () => {
  const { tour } = await import_example<Tour>("README.md", "function tour");
  const [log, complaints] = [vi.spyOn(console, "log"), vi.spyOn(console, "error")];
  log.mockImplementation(() => undefined);
  complaints.mockImplementation(() => undefined);
  for (const delay_ms of [0, 20]) {
    const sessions = join(quick_directory(), "sessions");
    const conversation = new Conversation(new StreamingProvider([{ text: "Bergen first.", delay_ms, chunks: 4 }]));
    await tour(conversation, sessions);
    const entries = await new FileSessionStore(sessions).list();
    expect(entries.map(({ kind, label }) => `${kind} ${label}`).sort()).toEqual([
      "fork Trip to Norway (fork)",
      "root Norway, first draft",
    ]);
    expect(conversation.messages).toHaveLength(2);
  }
  expect(complaints.mock.calls).toEqual([]);
  expect(log).toHaveBeenCalled();
  vi.restoreAllMocks();
});
