import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "libsql";
import { Kysely, SqliteDialect } from "kysely";
import { verify_session_store } from "@simulacra-ai/session/conformance";
import { SqlSessionStore } from "@simulacra-ai/session/sql";

/** The conformance kit on a store in a file of its own for each case. */
const directory = mkdtempSync(join(tmpdir(), "sql-"));
const opened = new Map();
let files = 0;

async function open() {
  files += 1;
  const database = new Database(join(directory, `${files}.db`));
  database.exec("pragma synchronous = off"); // quick: nothing here has to survive a power cut
  const kysely = new Kysely({ dialect: new SqliteDialect({ database }) });
  const store = new SqlSessionStore(kysely);
  opened.set(store, kysely);
  await store.migrate();
  return store;
}

try {
  const close = (store) => opened.get(store)?.destroy();
  const { cases, passed } = await verify_session_store({ open, close });
  assert.deepEqual(
    cases.filter(({ result }) => result === "fail"),
    [],
  );
  assert.ok(passed > 50, `${passed} cases passed`);
} finally {
  rmSync(directory, { recursive: true });
}
