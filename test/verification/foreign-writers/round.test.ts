import fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { quick_directory } from "../../stores/helpers.js";
import { Round } from "./round.js";

/** What the rounds find where files of this kind vanish. */
async function losses_without(name: RegExp, format: FileSessionFormat): Promise<string> {
  const losses: string[] = [];
  for (let seed = 1; seed <= 10; seed += 1) {
    const root = join(quick_directory(), "sessions");
    const remove = () =>
      fs.readdirSync(root).forEach((found) => name.test(found) && fs.rmSync(join(root, found), { recursive: true }));
    losses.push(...(await new Round(root, { ours: format, theirs: format }, seed).run(remove)));
  }
  return losses.join("\n");
}

test.each(["json", "ndjson"] as const)(
  "rule 40: rounds with another writer of %s notice messages that are missing",
  async (format) => {
    expect(await losses_without(/\.journal$/, format)).not.toBe("");
    expect(await losses_without(/^[0-9a-f-]{36}\.(json|meta\.json|ndjson)$/, format)).toContain("lost: ");
    expect(await losses_without(/^nothing$/, format)).toBe("");
  },
);
