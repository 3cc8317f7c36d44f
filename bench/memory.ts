import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { short_turn } from "./conversations.js";
import { in_a_fresh_process } from "./fresh-process.js";
import { at_most, in_temporary_directory, rounded, type Figure, type Subject } from "./harness.js";
import { STORED_ID, type MemoryReport, type MemoryTask } from "./memory-task.js";

const BOUND = 64;

/** Manager and store hold next to nothing beyond the conversation's own messages. */
export const MEMORY: Subject = {
  name: "memory",
  async measure({ quick, formats }) {
    const turns = quick ? 4_000 : 10_000;
    const figures = await in_temporary_directory((directory) =>
      Promise.all(formats.map((format) => figures_of(format, directory, turns))),
    );
    return figures.flat();
  },
};

/**
 * The messages of turns have not the same size in every process: the engine lays its objects out as it has learned to.
 * There, what goes with manager and store is theirs, and what stays when all is gone. Parsed messages do have it: of a
 * session that is loaded, everything is theirs that a plain reader's conversation does not take.
 */
async function figures_of(format: FileSessionFormat, directory: string, turns: number): Promise<Figure[]> {
  const report = (way: MemoryTask["way"]) => {
    const task: MemoryTask = { way, format, directory, turns };
    return in_a_fresh_process<MemoryReport>("memory-worker.ts", [JSON.stringify(task)]);
  };
  await store_session(directory, format, turns);
  const saved = await report("turns");
  const loaded = await report("load");
  const plain = await report("plain");
  const messages = 2 * turns;
  const what = `memory (${format}), ${messages.toLocaleString("en")} short messages`;
  const figure = (how: string, beyond: number, { all }: MemoryReport) => {
    const note = `${megabytes(beyond)} of ${megabytes(all)}`;
    return at_most(`${what} ${how}: held beyond them`, beyond / messages, BOUND, " bytes a message", note);
  };
  return [
    figure("auto-saved turn by turn", saved.all - saved.conversation + Math.max(0, saved.left), saved),
    figure("loaded by a manager", loaded.all - plain.all, loaded),
  ];
}

function megabytes(bytes: number): string {
  return `${rounded(bytes / 1e6)} MB`;
}

async function store_session(directory: string, format: FileSessionFormat, turns: number): Promise<void> {
  const messages = Array.from({ length: turns }, (_, at) => short_turn(at)).flatMap((turn) => [
    ...turn.user,
    ...turn.assistant,
  ]);
  await new FileSessionStore(directory, { format, durable: false }).save(STORED_ID[format], messages);
}
