/**
 * The first process: replays the recording into a conversation that is saved after every turn, and tells on its
 * standard output what is stored. It knows nothing of its end, which comes from outside.
 *
 * Usage: recorder.ts DIRECTORY SEED
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Conversation, recorded_turns, replay_turn, StreamingProvider } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager } from "@simulacra-ai/session";
import { counting_layer } from "../bench/counting-layer.js";
import { seeded_random } from "../test/support/random.js";
import { read_recording } from "./claims.js";

const [directory = "", seed = ""] = process.argv.slice(2);
const { next: random } = seeded_random(Number(seed));
const counted = counting_layer();
const provider = new StreamingProvider();
const conversation = new Conversation(provider);
const manager = new SessionManager(new FileSessionStore(directory, { durable: true }, counted.layer), conversation, {
  drafts: false,
});

manager.on("save", ({ messages }) => console.log(`saved ${messages.length} messages, ${counted.bytes_written} bytes`));
manager.on("lifecycle_error", ({ error, operation }) => console.error(operation, error));
manager.start_new();
for (const turn of recorded_turns(read_recording())) {
  await replay_turn(conversation, provider, turn);
  await sleep(6 * random()); // so that the kill finds the journal at any point of a write, or between two
}
await manager.flush();
