import process from "node:process";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";

/** What a process of its own adds to one session; each message is printed when it is stored. */
export interface WriterTask {
  root: string;
  format: "json" | "ndjson";
  name: string;
  count: number;
}

const { root, format, name, count } = JSON.parse(process.argv[2] ?? "") as WriterTask;
const store = new FileSessionStore(root, { format, durable: false });
console.log("ready");
await new Promise((resolve) => process.stdin.once("data", resolve));
for (let n = 0; n < count;) {
  const text = `${name} ${n}`;
  const messages = [{ role: "user" as const, content: [{ type: "text" as const, text }] }];
  try {
    const revision = (await store.load("s"))?.revision;
    await (revision === undefined
      ? store.replace("s", messages, { revision: null, metadata: { parent_id: "p" } })
      : store.append("s", messages, { revision }));
    console.log(text);
    n += 1;
    if (n % 10 === 0) {
      await (n % 20 === 0 ? store.flush("s") : store.update("s", { label: text }));
    }
  } catch (error) {
    if ((error as { code?: string }).code !== "conflict") {
      throw error;
    }
  }
}
process.stdin.destroy();
