import { SessionError, type SessionMetadata, type SessionStore } from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { expect, test } from "vitest";
import { open_table, raw_row, type RowBackend, type Table } from "./row-backends.js";

export function text_message(text: string, more: object = {}): Message {
  return { role: "user", id: `id of ${text.slice(0, 10)}`, content: [{ type: "text", text }], ...more };
}

/** Metadata that the compiler would not let through. */
export function loose(metadata: unknown): Partial<SessionMetadata> {
  return metadata as Partial<SessionMetadata>;
}

export async function outcome_of(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof SessionError ? error.code : String(error);
  }
  return "done";
}

export async function open_store(backend: RowBackend): Promise<{ store: SessionStore; table: Table }> {
  const opened = await open_table(backend.table);
  return { store: backend.open(opened), table: opened };
}

/** What rows promise beside the contract of every store, which is the conformance kit's. */
export function define_row_store(backend: RowBackend): void {
  test("rules 20 and 50: the column of the date is the metadata's", async () => {
    const { store, table } = await open_store(backend);
    const begun = new Date().toISOString();
    await store.save("s", [], { created_at: "2001-01-01T00:00:00.000Z" });
    await store.save("s", []);
    const { created_at, updated_at } = (await store.load("s"))?.metadata ?? {};
    expect(created_at).toBe("2001-01-01T00:00:00.000Z");
    expect([begun, updated_at, new Date().toISOString()].sort()[1]).toBe(updated_at);
    const column = (await raw_row(table, "s"))?.["updated_at"];
    expect(new Date(column as string | number).toISOString()).toBe(updated_at);
  });

  test("rule 50: no revision is claimed", async () => {
    const { store } = await open_store(backend);
    await store.save("s", [text_message("one")]);
    expect(Object.keys((await store.load("s")) ?? {}).sort()).toEqual(["messages", "metadata"]);
  });

  test("rule 25: what the database throws is `storage`, with the cause, and no queue stays blocked", async () => {
    const { store, table } = await open_store(backend);
    await store.save("s", [text_message("one")]);
    await table.client.execute(`ALTER TABLE "${table.name}" RENAME TO elsewhere`);
    const calls = [() => store.list(), () => store.load("s"), () => store.save("s", []), () => store.delete("s")];
    for (const call of calls) {
      const error = await call().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SessionError);
      expect((error as SessionError).code).toBe("storage");
      expect((error as SessionError).cause).toBeInstanceOf(Error);
    }
    await table.client.execute(`ALTER TABLE elsewhere RENAME TO "${table.name}"`);
    expect((await store.load("s"))?.messages).toHaveLength(1);
    await store.save("s", []);
    expect((await store.load("s"))?.messages).toEqual([]);
  });
}
