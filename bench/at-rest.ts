import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileSessionStore } from "../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../src/stores/file/format/snapshot-header.js";
import { IDLE_POLICY } from "../src/stores/file/compaction.js";
import { LEASE_POLICY } from "../src/stores/file/lock/session-leases.js";
import { message_of_2_kb } from "./conversations.js";
import { counting_layer } from "./counting-layer.js";
import { for_information, in_temporary_directory, type Subject } from "./harness.js";

const SIZES = [40_000, 1_000_000, 20_000_000];
const TURNS_A_DAY = 24 * 60;
const BETWEEN_TURNS_MS = 60_000;
/** The turns that are made. A session of 20 MB is not at rest between them, and never long enough to be compacted. */
const TURNS = 5;

/** The bytes that sessions cost a day that have a turn a minute: each is at rest before the next one, or not at all. */
export const AT_REST: Subject = {
  name: "at-rest",
  async measure({ formats }) {
    const figures = [];
    for (const format of formats) {
      for (const size of SIZES) {
        const written = await in_temporary_directory((directory) => write_turns(directory, format, size));
        const what = `at rest (${format}): written a day, a turn of 2 KB a minute, session of ${size / 1_000_000} MB`;
        figures.push(for_information(what, ((written / TURNS) * TURNS_A_DAY) / 1_000_000, " MB"));
      }
    }
    return figures;
  },
};

/** The time between two turns does not have to pass: where a session would be at rest by then, it is at once. */
async function write_turns(directory: string, format: FileSessionFormat, size: number): Promise<number> {
  const idle_ms = IDLE_POLICY.idle_ms + (IDLE_POLICY.idle_ms_per_mb * size) / 1_000_000;
  const is_at_rest = idle_ms < BETWEEN_TURNS_MS;
  const idle = is_at_rest ? { idle_ms: 1, idle_ms_per_mb: 0 } : IDLE_POLICY;
  const counting = counting_layer();
  const store = new FileSessionStore(directory, { format }, counting.layer, LEASE_POLICY, idle);
  const messages = Array.from({ length: Math.ceil(size / 2_000) }, (_, n) => message_of_2_kb(n));
  let { revision } = await store.replace("s", messages, { revision: null });
  const before = counting.bytes_written;
  for (let turn = 0; turn < TURNS; turn += 1) {
    ({ revision } = await store.append("s", [message_of_2_kb(turn)], { revision }));
    while (is_at_rest && existsSync(join(directory, "s.journal"))) {
      await sleep(1);
    }
  }
  return counting.bytes_written - before;
}
