import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loaded, message, quick_directory } from "../../stores/helpers.js";

const MIB = 1024 * 1024;

test.each(["json", "ndjson"] as const)(
  "rule 30.2: under appends of 1 MB without a pause no journal outgrows its bound (%s)",
  async (format) => {
    const root = quick_directory();
    const store = new FileSessionStore(root, { format, durable: false });
    await store.save("s", []);
    let { revision } = await loaded(store);
    const data = join(root, format === "json" ? "s.json" : "s.ndjson");
    let longest = 0;
    const look = () => {
      const journal = fs.statSync(join(root, "s.journal"), { throwIfNoEntry: false })?.size ?? 0;
      longest = Math.max(longest, journal - 2 * fs.statSync(data).size);
    };
    const appended: Promise<unknown>[] = [];
    const append = async (n: number) => {
      ({ revision } = await store.append("s", [message(`${n}`, { text: "x".repeat(MIB) })], { revision }));
      look();
    };
    let last = Promise.resolve();
    for (let n = 0; n < 250; n += 1) {
      last = last.then(() => append(n)); // without a turn of the event loop in between
      appended.push(last, store.update("s", { label: `${n}` })); // and with changes that always wait
    }
    await Promise.all(appended);
    expect(longest).toBeGreaterThan(0);
    expect(longest).toBeLessThan(66 * MIB);
    await store.flush();
    expect((await loaded(store)).messages).toHaveLength(250);
  },
  120_000,
);
