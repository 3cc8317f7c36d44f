import fs from "node:fs";
import type { Message } from "@simulacra-ai/core";
import { FileSessionStore, type FileSessionFormat, type StoredSession } from "@simulacra-ai/session";
import { texts, user } from "../../support/messages.js";

/** What a session may hold, by what was acknowledged and what was asked for and failed. */
export class Account {
  /** Every state that the session may be in. */
  readonly #allowed = new Map<string, string[][]>();
  readonly wrong: string[] = [];

  /** Does something to a session, and notes what that says of it. Rejects as that does. */
  async note(
    id: string,
    added: string[],
    how: "append" | "replace",
    perform: (messages: Message[]) => Promise<unknown>,
  ): Promise<void> {
    const before = this.#allowed.get(id) ?? [[]];
    const after = how === "append" ? before.map((state) => [...state, ...added]) : [added];
    this.#allowed.set(id, [...before, ...after]);
    await perform(added.map((text) => user(text)));
    this.#allowed.set(id, after);
  }

  /** What was asked for has failed, which may be for one of these reasons. */
  failed(error: unknown, codes: readonly string[]): void {
    const { code, cause } = error as { code?: string; cause?: { code?: string } };
    if (code !== "storage" || !codes.includes(String(cause?.code))) {
      this.wrong.push(`it fails with ${String(error)}, because of ${cause?.code}`);
    }
  }

  async losses(store: FileSessionStore): Promise<string[]> {
    const losses: string[] = [];
    for (const [id, allowed] of this.#allowed) {
      const found = await store.load(id).then(
        (session) => texts(session?.messages) ?? [],
        (error: unknown) => [String(error)],
      );
      const own = found.filter((text) => text !== LATER);
      if (!allowed.some((state) => state.join("\n") === own.join("\n"))) {
        losses.push(`${id} is ${own.map((text) => text.slice(0, 60)).join(" | ")}`);
      }
    }
    return losses;
  }
}

const LATER = "later";

/** The next append is whole, and behind the flush after it the session is at rest. */
export async function problem_of_next_writer(
  root: string,
  store: FileSessionStore,
  format: FileSessionFormat,
): Promise<string[]> {
  try {
    const before = await store.load("s");
    await (before === undefined
      ? store.save("s", [user(LATER)])
      : store.append("s", [user(LATER)], { revision: (before as StoredSession & { revision: string }).revision }));
    await store.flush();
    const found = texts((await new FileSessionStore(root).load("s"))?.messages);
    const expected = [...(texts(before?.messages) ?? []), LATER];
    const names = fs.readdirSync(root).filter((name) => name.startsWith("s."));
    const own = format === "json" ? ["s.json"] : ["s.meta.json", "s.ndjson"];
    return [
      ...(found?.join("\n") === expected.join("\n") ? [] : [`the next append leaves ${found?.length} messages`]),
      ...(names.sort().join() === own.join() ? [] : [`the next flush leaves ${names.join()}`]),
    ];
  } catch (error) {
    return [`the next append fails: ${String(error)}`];
  }
}
