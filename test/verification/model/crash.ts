import { seeded_random } from "../../support/random.js";
import { StrictDevice } from "../crash-states/crash-model.js";
import type { MemoryDisk } from "../crash-states/memory-disk.js";
import type { LogEntry } from "../crash-states/logged-disk.js";

const DEPTH = { changes: 2, fates: 9, samples: 3 };

/** Returns the disk after a crash behind these operations, in one of the ways that a device may take. */
export function crashed(before: MemoryDisk, live: MemoryDisk, log: readonly LogEntry[], way: number): MemoryDisk {
  const device = new StrictDevice(before);
  log.forEach((entry) => device.advance(entry));
  const { next: random } = seeded_random(way);
  let [seen, chosen] = [0, undefined as { disk(of: MemoryDisk): MemoryDisk } | undefined];
  for (const holdings of device.states(seeded_random(way).next, DEPTH)) {
    seen += 1;
    if (random() * seen < 1) {
      chosen = holdings;
    }
  }
  if (chosen === undefined) {
    throw new Error("a crash leaves nothing");
  }
  return chosen.disk(live);
}
