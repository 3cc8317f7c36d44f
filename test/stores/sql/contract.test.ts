import { describe } from "vitest";
import { type FullStore, STORES } from "../helpers.js";
import { DATABASES, IS_FULL, type TestDatabase, use_tables } from "./databases.js";

const ALL = ["copies", "drafts", "input", "lifecycle", "merge", "order", "revisions", "text"];
/** What depends on the database; the rest of the contract is the same code for all of them. */
const IN_DATABASE: { [name: string]: string[] } = {
  PGlite: ["drafts", "order"],
  PostgreSQL: ["drafts", "lifecycle", "order", "revisions"],
  MariaDB: ["drafts", "order", "revisions"],
};

/** The tests that every store has to pass take their stores from one list, which is ours while they are defined. */
async function define_contract(database: TestDatabase): Promise<void> {
  const parts = (IS_FULL ? undefined : IN_DATABASE[database.name]) ?? ALL;
  const { open } = use_tables(database, parts === ALL ? 6 : 2);
  const others = STORES.splice(0, Infinity, { name: "sql", open: (): FullStore => open().store });
  try {
    for (const part of parts) {
      const path = new URL(`../contract-${part}.test.ts`, import.meta.url).pathname;
      // A module of its own for each database: one that was imported already would define nothing.
      await import(/* @vite-ignore */ `${path}?${encodeURIComponent(database.name)}`);
    }
  } finally {
    STORES.splice(0, Infinity, ...others);
  }
}

for (const database of DATABASES) {
  describe.skipIf(!database.reached)(`in ${database.name}`, () => define_contract(database));
}
