import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { NODE_FILE_LAYER } from "../src/stores/file/fs/node-file-layer.js";
import type { FileLayer, OpenFile } from "../src/stores/file/fs/file-layer.js";
import { synthetic_conversation } from "./conversations.js";
import { in_a_fresh_process } from "./fresh-process.js";
import { at_most, for_information, in_temporary_directory, median, ms, pair, ratio } from "./harness.js";
import type { Figure, Subject } from "./harness.js";
import type { ManyReport } from "./many-worker.js";

/** The newest of very many sessions, against the least that the system takes for a look at every file. */
export const MANY: Subject = {
  name: "many",
  async measure({ quick, formats }) {
    const figures: Figure[] = [];
    for (const format of formats) {
      figures.push(...(await figures_of(format, quick ? 10_000 : 100_000, quick ? 3 : 5)));
    }
    return figures;
  },
};

async function figures_of(format: FileSessionFormat, sessions: number, rounds: number): Promise<Figure[]> {
  const report = await in_temporary_directory(async (directory) => {
    await store_sessions(directory, format, sessions);
    return in_a_fresh_process<ManyReport>("many-worker.ts", [directory, String(rounds)]);
  });
  const { first, later, opened, looked, deleted, blocked, descriptors } = report;
  const what = `many (${format}), ${sessions.toLocaleString("en")} sessions, the newest 20`;
  return [
    at_most(
      `${what}: first list / each file opened, 4 KB read, closed`,
      ratio(first, opened),
      2,
      " ×",
      pair(first, opened),
    ),
    at_most(`${what}: later list / lstat of each file`, ratio(later, looked), 2, " ×", pair(later, looked)),
    at_most(`${what}: open files, the most`, descriptors, 40, ""),
    at_most(`${what}: event loop blocked, longest`, Math.max(...blocked), 10, " ms", `median ${ms(median(blocked))}`),
    at_most(`${what}: delete of one session / later list`, ratio(deleted, later), 1, " ×", pair(deleted, later)),
    for_information(`${what}: later list`, median(later), " ms"),
  ];
}

async function store_sessions(directory: string, format: FileSessionFormat, sessions: number): Promise<void> {
  const store = new FileSessionStore(directory, { format, durable: false }, without_syncs());
  const messages = synthetic_conversation(2);
  for (let index = 0; index < sessions; index += 1) {
    await store.save(`session-${index}`, messages, { label: `Session ${index}`, kind: "root" });
  }
}

/** Only to prepare files: what is measured never writes through this. */
function without_syncs(): FileLayer {
  const unsynced = (file: OpenFile) => Object.assign(file, { sync: () => Promise.resolve() });
  return { ...NODE_FILE_LAYER, create: async (path, mode) => unsynced(await NODE_FILE_LAYER.create(path, mode)) };
}
