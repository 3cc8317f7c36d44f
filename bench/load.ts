import { Conversation, replay_turn, StreamingProvider, type Message } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager, type FileSessionFormat } from "@simulacra-ai/session";
import { real_conversation, synthetic_conversation, turn_of } from "./conversations.js";
import { counting_layer } from "./counting-layer.js";
import { at_most, in_temporary_directory, interleave, pair, ratio, time } from "./harness.js";
import type { Figure, Subject } from "./harness.js";
import { message_file, read_plainly } from "./plain-reader.js";

const DEPTH = 60;
/** Of each fork: 20 messages. */
const TURNS = 10;

/** What a load may take, as a multiple of a plain reader's time. */
const BOUND = 1.2;
const PLAIN_READERS: Record<FileSessionFormat, string> = {
  json: "readFile + JSON.parse",
  ndjson: "readFile + JSON.parse of both files, line by line",
};

/** Loading costs little more than reading and parsing the same files. */
export const LOAD: Subject = {
  name: "load",
  async measure({ quick, formats }) {
    const rounds = quick ? 15 : 60;
    const figures: Figure[] = [];
    for (const format of formats) {
      figures.push(
        await load_figure("2,000 messages of 2 KB", synthetic_conversation(2_000), format, rounds),
        await load_figure("real conversation", real_conversation(), format, rounds),
        ...(await in_temporary_directory((directory) => chain_figures(directory, format, rounds))),
      );
    }
    return figures;
  },
};

async function load_figure(
  what: string,
  messages: Message[],
  format: FileSessionFormat,
  rounds: number,
): Promise<Figure> {
  return in_temporary_directory(async (directory) => {
    const store = new FileSessionStore(directory, { format });
    await store.save("loaded", messages);
    const load = () => time(() => store.load("loaded"));
    const plain = () => time(() => read_plainly(directory, "loaded", format));
    await interleave({ load, plain }, 5);
    const timings = await interleave({ load, plain }, rounds);
    const figure = `load (${format}), ${what}: time / ${PLAIN_READERS[format]}`;
    const value = ratio(timings.load, timings.plain);
    return at_most(figure, value, BOUND, " ×", pair(timings.load, timings.plain));
  });
}

async function chain_figures(directory: string, format: FileSessionFormat, rounds: number): Promise<Figure[]> {
  const ids = await make_chain(directory, format);
  const leaf = ids.at(-1) ?? "";
  const { layer, reads } = counting_layer();
  const messages = await load_in_manager(new FileSessionStore(directory, {}, layer), leaf);
  if (messages !== 2 * TURNS * ids.length) {
    throw new Error(`the chain holds ${messages} messages where ${2 * TURNS * ids.length} were stored`);
  }
  if (!ids.every((id) => reads.has(message_file(id, format)))) {
    throw new Error("a session was loaded from a file that was not counted");
  }
  const store = new FileSessionStore(directory);
  const load = () => time(() => load_in_manager(store, leaf));
  const plain = () =>
    time(async () => {
      for (const id of ids) {
        await read_plainly(directory, id, format);
      }
    });
  const timings = await interleave({ load, plain }, rounds);
  const what = `load (${format}), fork chain ${DEPTH} deep`;
  const value = ratio(timings.load, timings.plain);
  return [
    at_most(`${what}: reads of a file, the most`, Math.max(...reads.values()), 1, ""),
    at_most(`${what}: time / ${PLAIN_READERS[format]}`, value, BOUND, " ×", pair(timings.load, timings.plain)),
  ];
}

/** A root and forks of forks, each with turns of its own. Returns their ids, the root first. */
async function make_chain(directory: string, format: FileSessionFormat): Promise<string[]> {
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  await using manager = new SessionManager(new FileSessionStore(directory, { format, durable: false }), conversation);
  const ids = [manager.start_new()];
  const add_turns = async () => {
    for (let turn = 0; turn < TURNS; turn += 1) {
      await replay_turn(conversation, provider, turn_of(TURNS * ids.length + turn));
    }
  };
  await add_turns();
  while (ids.length <= DEPTH) {
    ids.push(await manager.fork(ids.at(-1) ?? ""));
    await add_turns();
  }
  return ids;
}

async function load_in_manager(store: FileSessionStore, id: string): Promise<number> {
  const conversation = new Conversation(new StreamingProvider());
  using manager = new SessionManager(store, conversation);
  await manager.load(id);
  return conversation.messages.length;
}
