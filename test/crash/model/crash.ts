import { seeded } from "../../stores/helpers.js";
import { StrictDevice } from "../crash-model.js";
import type { MemoryDisk } from "../memory-disk.js";
import type { LogEntry } from "../logged-disk.js";

const DEPTH = { changes: 2, fates: 9, samples: 3 };

/** What the device holds after a crash behind these operations, in one of the ways that it may. */
export function crashed(before: MemoryDisk, live: MemoryDisk, log: readonly LogEntry[], way: number): MemoryDisk {
  const device = new StrictDevice(before);
  log.forEach((entry) => device.advance(entry));
  const random = seeded(way);
  let [seen, chosen] = [0, undefined as { disk(of: MemoryDisk): MemoryDisk } | undefined];
  for (const holdings of device.states(seeded(way), DEPTH)) {
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
