import fs from "node:fs";
import { join } from "node:path";
import { memory_place, new_directory } from "../../support/temporary-directory.js";
import { in_proportion, make_rounds, reordered } from "../budget.js";
import { CASES, rewritten_at_moments } from "../foreign-writers/moments.js";
import { Round, type RoundFormats } from "../foreign-writers/round.js";
import type { Method } from "../method.js";

/** Another program that knows `json` alone makes sessions of its own beside those in `ndjson`, which are not read. */
const FORMATS: readonly RoundFormats[] = [
  { ours: "json", theirs: "json" },
  { ours: "ndjson", theirs: "ndjson" },
  { ours: "json", theirs: "json" },
  { ours: "ndjson", theirs: "ndjson" },
  { ours: "ndjson", theirs: "json" },
];
/** A series looks at the moments of a case that are so many operations apart. */
const STRIDE = 7;

/** Another program rewrites, truncates and deletes the same files, as the published package does. */
export const FOREIGN_WRITERS: Method = {
  name: "foreign-writers",
  async run({ full, seed, until }) {
    const losses: string[] = [];
    const { path: top, remove } = new_directory(memory_place());
    let [whole, moments, made] = [0, 0, 0];
    const run_round = async (n: number) => {
      const formats = FORMATS[n % FORMATS.length] as RoundFormats;
      const round = new Round(join(top, `round ${n}`), formats, seed * 1_000_003 + n);
      const wrong = await round.run();
      whole += 1;
      if (wrong.length > 0) {
        losses.push([`${JSON.stringify(formats)}, round ${n}: ${wrong.join("\n    ")}`, ...round.log].join("\n    "));
      }
      fs.rmSync(join(top, `round ${n}`), { recursive: true, force: true });
    };
    const rewrite = async (one: (typeof CASES)[number], first: number) => {
      const found = await rewritten_at_moments(() => join(top, `moment ${made++}`), one, { first, stride: STRIDE });
      moments += found.count;
      losses.push(...found.losses);
    };
    const rounds = Array.from({ length: full ? 1000 : 40 }, (_, n) => () => run_round(n));
    const firsts = Array.from({ length: STRIDE }, (_, n) => n + 1);
    const rewrites = CASES.map((one, n) =>
      (full ? reordered(firsts, seed + n) : [1 + (n % STRIDE)]).map((first) => () => rewrite(one, first)),
    );
    try {
      const kinds = [rounds, ...rewrites];
      const progress = await make_rounds(in_proportion(kinds), { until, least: kinds.length }, (make) => make());
      const note = `${whole} of whole operations, ${moments} before an operation on a file`;
      const { done, planned } = progress;
      return {
        rounds: whole + moments,
        unit: "interleavings",
        progress: { done, planned, of: "series" },
        losses,
        note,
      };
    } finally {
      remove();
    }
  },
};
