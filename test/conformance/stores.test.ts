import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import {
  EncryptedSessionStore,
  FileSessionStore,
  InMemorySessionStore,
  RedactingSessionStore,
  type FileSessionFormat,
  type SessionStore,
} from "@simulacra-ai/session";
import { register, type ConformanceOptions } from "@simulacra-ai/session/conformance";
import { describe, test } from "vitest";
import { DRIZZLE_BACKENDS, open_table, PRISMA_BACKENDS, type RowBackend, type Table } from "../stores/row-backends.js";

/** A file store in a directory of its own for each case. */
function file_store(format: FileSessionFormat, durable: boolean, kills: number): ConformanceOptions {
  let directory = "";
  const open = () => new FileSessionStore(directory, { format, durable });
  return {
    open: () => {
      directory = mkdtempSync(join(tmpdir(), "session-conformance-"));
      return open();
    },
    reopen: open,
    open_second: open,
    close: () => rmSync(directory, { recursive: true, force: true }),
    ...(kills > 0 && {
      kills: {
        module: new URL("file-store-module.ts", import.meta.url).href,
        rounds: kills,
        node_options: ["--import", "tsx"],
      },
    }),
  };
}

/** A table of its own for each case. */
function row_store(backend: RowBackend): ConformanceOptions {
  let table: Table | undefined;
  const open = () => backend.open(table as Table);
  return {
    open: async () => {
      table = await open_table(backend.table);
      return open();
    },
    reopen: open,
    open_second: open,
  };
}

const ROW_STORES = [...DRIZZLE_BACKENDS, ...PRISMA_BACKENDS].map(
  (backend) => [backend.name, row_store(backend)] as const,
);

/** A wrapper around a store in memory, or of files. */
function wrapped(wrap: (inner: SessionStore) => SessionStore, inner?: ConformanceOptions): ConformanceOptions {
  const { reopen, open_second, ...options }: ConformanceOptions = inner ?? { open: () => new InMemorySessionStore() };
  return {
    open: async () => wrap(await options.open()),
    ...(reopen && { reopen: async () => wrap(await reopen()) }),
    ...(open_second && { open_second: async () => wrap(await open_second()) }),
    ...(options.close && { close: options.close }),
  };
}

const keys = { old: randomBytes(32), now: randomBytes(32) };
const encrypted = (inner: SessionStore) => new EncryptedSessionStore(inner, { keys, current: "now" });
const redacting = (inner: SessionStore) => new RedactingSessionStore(inner);

/** Every store of this package. */
const STORES: Record<string, ConformanceOptions> = {
  InMemorySessionStore: { open: () => new InMemorySessionStore() },
  "FileSessionStore, json": file_store("json", true, 3),
  "FileSessionStore, ndjson": file_store("ndjson", false, 0),
  ...Object.fromEntries(ROW_STORES),
  "EncryptedSessionStore, in memory": wrapped(encrypted),
  "EncryptedSessionStore, files": wrapped(encrypted, file_store("json", false, 0)),
  "RedactingSessionStore, in memory": wrapped(redacting),
  "redacted, then encrypted": wrapped((inner) => redacting(encrypted(inner))),
  "encrypted, over a table": wrapped(encrypted, ROW_STORES[0]?.[1]),
};

for (const [name, options] of Object.entries(STORES)) {
  describe(`rule 28: ${name}`, () => register(test, options));
}
