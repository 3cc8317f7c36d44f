import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Conversation, replay_turn, StreamingProvider, type Message } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager } from "@simulacra-ai/session";
import { real_conversation, synthetic_conversation, turn_of } from "./conversations.js";
import { counting_layer } from "./counting-layer.js";
import { at_most, for_information, in_temporary_directory, interleave, median, ms, ratio, time } from "./harness.js";
import type { Figure, Subject } from "./harness.js";

const DEPTH = 60;

/** Loading costs little more than reading and parsing the same files. */
export const LOAD: Subject = {
  name: "load",
  async measure({ quick }) {
    const rounds = quick ? 15 : 60;
    return [
      await in_temporary_directory((directory) =>
        load_figure("2,000 messages of 2 KB", synthetic_conversation(2_000), directory, rounds),
      ),
      await in_temporary_directory((directory) =>
        load_figure("real conversation", real_conversation(), directory, rounds),
      ),
      ...(await in_temporary_directory((directory) => chain_figures(directory, rounds))),
    ];
  },
};

async function load_figure(what: string, messages: Message[], directory: string, rounds: number): Promise<Figure> {
  const store = new FileSessionStore(directory);
  await store.save("loaded", messages);
  const load = () => time(() => store.load("loaded"));
  const parse = () => time(() => read_and_parse(directory, "loaded"));
  await interleave({ load, parse }, 5);
  const timings = await interleave({ load, parse }, rounds);
  const note = `${ms(median(timings.load))} / ${ms(median(timings.parse))}`;
  return at_most(`load, ${what}: time / readFile + JSON.parse`, ratio(timings.load, timings.parse), 1.3, " ×", note);
}

async function chain_figures(directory: string, rounds: number): Promise<Figure[]> {
  const ids = await make_chain(directory);
  const leaf = ids.at(-1) ?? "";
  const counted = counting_layer();
  const once = new FileSessionStore(directory, {}, counted.layer);
  const messages = await load_in_manager(once, leaf);
  if (messages !== 2 * ids.length) {
    throw new Error(`the chain holds ${messages} messages where ${2 * ids.length} were stored`);
  }
  const reads = ids.map((id) => counted.reads.get(`${id}.json`) ?? 0);
  const store = new FileSessionStore(directory);
  const load = () => time(() => load_in_manager(store, leaf));
  const parse = () =>
    time(async () => {
      for (const id of ids) {
        await read_and_parse(directory, id);
      }
    });
  const timings = await interleave({ load, parse }, rounds);
  const note = `${ms(median(timings.load))} / ${ms(median(timings.parse))}`;
  return [
    at_most(`load, fork chain ${DEPTH} deep: reads of a file, the most`, Math.max(...reads), 1, ""),
    for_information(
      "load, the same chain: time / readFile + JSON.parse",
      ratio(timings.load, timings.parse),
      " ×",
      note,
    ),
  ];
}

/** A root and forks of forks, each with a turn of its own. Returns their ids, the root first. */
async function make_chain(directory: string): Promise<string[]> {
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  await using manager = new SessionManager(new FileSessionStore(directory, { durable: false }), conversation);
  const ids = [manager.start_new()];
  await replay_turn(conversation, provider, turn_of(0));
  while (ids.length <= DEPTH) {
    ids.push(await manager.fork(ids.at(-1) ?? ""));
    await replay_turn(conversation, provider, turn_of(ids.length));
  }
  return ids;
}

async function load_in_manager(store: FileSessionStore, id: string): Promise<number> {
  const conversation = new Conversation(new StreamingProvider());
  using manager = new SessionManager(store, conversation);
  await manager.load(id);
  return conversation.messages.length;
}

async function read_and_parse(directory: string, id: string): Promise<unknown> {
  return JSON.parse(await readFile(join(directory, `${id}.json`), "utf8"));
}
