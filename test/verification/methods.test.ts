import { describe, expect, test } from "vitest";
import { METHODS } from "./methods/index.js";

describe("the short form of", () => {
  for (const method of METHODS) {
    const reason = method.unavailable?.();
    if (reason !== undefined) {
      console.warn(`SKIPPED: ${method.name}: ${reason}`);
    }
    test.skipIf(reason !== undefined)(
      `rule 31: ${method.name}: nothing acknowledged is lost`,
      { timeout: 300_000 },
      async () => {
        const { rounds, losses } = await method.run({ full: false, until: Infinity, seed: 1 });
        expect(losses.slice(0, 20)).toEqual([]);
        expect(rounds).toBeGreaterThan(0);
      },
    );
  }
});
