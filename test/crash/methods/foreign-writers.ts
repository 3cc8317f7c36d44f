import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { rewritten_at_every_moment } from "../foreign-writers/moments.js";
import { Round } from "../foreign-writers/round.js";
import type { Method } from "../method.js";

/** What another program knows is `json`; beside a session in `ndjson` it makes one of its own, which is not read. */
const FORMATS = ["json", "json", "json", "ndjson"] as const;
const MEMORY = "/dev/shm";

/** Another program rewrites, truncates and deletes the same files, as the published package does. */
export const FOREIGN_WRITERS: Method = {
  name: "foreign-writers",
  async run({ full, seed }) {
    const rounds = full ? 1000 : 40;
    const losses: string[] = [];
    const top = fs.mkdtempSync(join(fs.existsSync(MEMORY) ? MEMORY : os.tmpdir(), "foreign-"));
    try {
      for (let n = 0; n < rounds && losses.length < 20; n += 1) {
        const format = FORMATS[n % FORMATS.length] ?? "json";
        const round = new Round(join(top, `round ${n}`), format, seed * 1_000_003 + n);
        const wrong = await round.run();
        if (wrong.length > 0) {
          losses.push([`${format}, round ${n}: ${wrong.join("\n    ")}`, ...round.log].join("\n    "));
        }
        fs.rmSync(join(top, `round ${n}`), { recursive: true, force: true });
      }
      let made = 0;
      const moments = await rewritten_at_every_moment(() => join(top, `moment ${made++}`), full ? 1 : 7);
      losses.push(...moments.losses);
      const note = `${rounds} of whole operations, ${moments.count} before an operation on a file`;
      return { rounds: rounds + moments.count, unit: "interleavings", losses, note };
    } finally {
      fs.rmSync(top, { recursive: true, force: true });
    }
  },
};
