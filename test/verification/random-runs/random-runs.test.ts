import type { SessionMetadata } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { each_backend, keeps_files } from "../../backends.js";
import { open_backend, open_plain } from "../../support/open-session.js";
import { RandomRun } from "./random-run.js";

const STEPS = 100;

function sorted_histories(histories: unknown[]): string[] {
  return histories.map((history) => JSON.stringify(history)).sort();
}

each_backend((backend) => {
  const seeds = Array.from({ length: keeps_files(backend) ? 20 : 100 }, (_, seed) => seed);
  test.each(seeds)("rules 1 to 15: after a random run, every session is as it should be, seed %i", async (seed) => {
    const { store } = await open_backend(backend);
    const run = new RandomRun(store, seed, { on_replace: seed % 2 === 0 ? "keep" : "overwrite" });
    await run.run(STEPS);
    for (const [id, expected] of run.sessions) {
      const { manager, conversation, errors } = open_plain(store);
      await manager.load(id);
      expect(conversation.messages).toEqual(expected.messages);
      expect(errors).toEqual([]);
      const metadata = (await store.load(id))?.metadata;
      expect(metadata?.usage?.requests ?? 0).toBe(expected.requests);
      if (expected.label !== undefined) {
        expect(metadata).toMatchObject({ label: expected.label, label_source: "user" });
      }
    }
    const is_kept_copy = (entry: SessionMetadata) => entry.kind === "fork" && !run.sessions.has(entry.id);
    const all = await store.list();
    const entries = all.filter((entry) => !is_kept_copy(entry));
    if (seed % 2 === 1) {
      expect(all).toEqual(entries);
    }
    const children = entries.filter(({ kind }) => kind === "child").map(({ id }) => store.load(id));
    const histories = (await Promise.all(children)).map((record) => record?.messages);
    expect(sorted_histories(histories)).toEqual(
      sorted_histories(run.children.map(({ expected }) => expected.messages)),
    );
    expect(entries).toHaveLength(run.sessions.size + run.children.length);
    expect(run.errors.filter(({ error }) => (error as Error).message !== "disk on fire")).toEqual([]);
  });
});
