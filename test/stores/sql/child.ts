import process from "node:process";
import { SqlSessionStore } from "../../../src/stores/sql/index.js";
import { has_code } from "../../../src/errors.js";
import { connect_postgres } from "./postgres.js";

/** What another process does in PostgreSQL when it is told to go; it prints `ready` before, and `done` at the end. */
export interface Task {
  what: "migrate" | "append";
  schema: string;
  user: string;
  name: string;
  count: number;
}

const { what, schema, user, name, count } = JSON.parse(process.argv[2] ?? "") as Task;
const db = connect_postgres({ max: 1, user });
const store = new SqlSessionStore(db, { schema });

async function append(text: string): Promise<void> {
  for (;;) {
    const session = await store.load("s");
    try {
      await store.append("s", [{ role: "user", id: text, content: [{ type: "text", text }] }], {
        revision: session?.revision ?? "",
      });
      return;
    } catch (error) {
      if (!has_code(error, "conflict")) {
        throw error;
      }
    }
  }
}

console.log("ready");
await process.stdin[Symbol.asyncIterator]().next();
if (what === "migrate") {
  await store.migrate();
} else {
  for (let n = 0; n < count; n += 1) {
    await append(`${name} ${n}`);
    if (n % 10 === 0) {
      await store.update("s", { [`${name} ${n}`]: n });
    }
  }
}
await db.destroy();
console.log("done");
process.exit(0);
