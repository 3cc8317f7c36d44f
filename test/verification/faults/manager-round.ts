import { FileSessionStore, SessionManager, type FileSessionFormat } from "@simulacra-ai/session";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import { outcome_of } from "../../stores/helpers.js";
import { assistant, user } from "../../support/messages.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import type { MemoryDisk } from "../crash-states/memory-disk.js";
import { lost_histories, type SavedHistory } from "../power/histories.js";
import { words_of } from "../power/manager-program.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import { FaultyDevice } from "./device.js";
import { arm, type Extent, type Fault } from "./kinds.js";
import { give_up_waiting, open_files, quiet } from "./round.js";
import { ROOT } from "./scenarios.js";

interface Talk {
  conversation: PlainConversation;
  manager: SessionManager;
  turn: (name: string, length?: number) => void;
}

/** What an application does while something fails. Nothing of it is in the way of what it goes on with. */
interface Deed {
  name: string;
  perform(talk: Talk): Promise<unknown>;
}

export const DEEDS: readonly Deed[] = [
  { name: "auto-saved turns", perform: async ({ turn, manager }) => [turn("b"), turn("c"), await manager.flush()] },
  {
    name: "an auto-saved turn that makes the journal long",
    perform: async ({ turn }) => turn("b", 40_000),
  },
  { name: "a turn and save()", perform: ({ turn, manager }) => (turn("b"), manager.save({ label: "mine" })) },
  {
    name: "a rename",
    perform: ({ turn, manager }) => (turn("b"), manager.rename(manager.current_session_id ?? "", "renamed")),
  },
  { name: "a fork", perform: ({ manager }) => manager.fork(manager.current_session_id ?? "", { message_id: "aa" }) },
  { name: "a rewind", perform: ({ manager }) => manager.rewind("aq") },
  {
    name: "a new session",
    perform: async ({ manager, turn }) => [manager.start_new(), turn("b"), await manager.flush()],
  },
];

export interface ManagerRound {
  deed: Deed;
  format: FileSessionFormat;
  fault: Fault;
  n: number;
  extent: Extent;
}

async function begin(format: FileSessionFormat) {
  const device = new FaultyDevice();
  const layer = new HookedLayer(undefined, { inner: device.layer });
  const conversation = new PlainConversation();
  const manager = new SessionManager(new FileSessionStore(ROOT, { format }, layer), conversation);
  const saved: SavedHistory[] = [];
  const reported: unknown[] = [];
  manager.on("save", ({ id, messages }) => saved.push({ id, words: words_of(messages) }));
  manager.on("lifecycle_error", ({ error }) => reported.push(error));
  const turn = (name: string, length = 0) => {
    const text = "".padEnd(length, "x");
    conversation.messages.push(user(`${name}q ${text}`, `${name}q`), assistant(`${name}a ${text}`, `${name}a`));
    conversation.emit("message_complete");
  };
  manager.start_new();
  turn("a");
  await manager.flush();
  layer.forget();
  return { device, layer, saved, reported, talk: { conversation, manager, turn } };
}

/** How many operations of the file system this takes where none fails. */
export async function operations_of(deed: Deed, format: FileSessionFormat): Promise<string[]> {
  const { layer, talk } = await begin(format);
  await deed.perform(talk);
  await quiet(layer);
  const names = layer.names_of_operations();
  talk.manager[Symbol.dispose]();
  return names;
}

/** What goes wrong beyond the fault itself, a line each; `undefined` where the fault did not happen. */
export async function disturbed_manager({ deed, format, ...fault }: ManagerRound): Promise<string[] | undefined> {
  const { device, layer, saved, reported, talk } = await begin(format);
  const { conversation, manager, turn } = talk;
  const struck = arm(layer, device, fault);
  const outcome = await outcome_of(deed.perform(talk));
  await quiet(layer);
  const where = struck();
  if (where === undefined) {
    manager[Symbol.dispose]();
    return undefined;
  }
  const wrong: string[] = [];
  const present = words_of(conversation.messages);
  const wanted = () => ({ id: manager.current_session_id ?? "", words: words_of(conversation.messages) });
  if (outcome === "done" && reported.length === 0) {
    wrong.push(...(await lost_on(device.after_power_cut(), [...saved, wanted()], "nothing was reported, and")));
  } else {
    wrong.push(...(await lost_on(device.after_power_cut(), saved, `${outcome}, and`)));
  }
  if (!["done", "storage"].includes(outcome)) {
    wrong.push(`it rejects with ${outcome}`);
  }
  give_up_waiting(layer);
  turn("z");
  const flushed = await outcome_of(manager.flush());
  if (flushed !== "done") {
    wrong.push(`the next flush: ${flushed}`);
  }
  const { id, words } = wanted();
  if (words.slice(0, present.length).join() !== present.join()) {
    wrong.push(`the conversation has lost something: ${words.join()}`);
  }
  wrong.push(...(await lost_on(device.after_power_cut(), [...saved, wanted()], "after the next flush")));
  await quiet(layer);
  const names = await device.layer.names(ROOT);
  const left = names.filter((name) => name.startsWith(`${id}.`) && /\.(journal|lock|tmp|next)$/.test(name));
  if (left.length > 0) {
    wrong.push(`the next flush leaves ${left.join()}`);
  }
  manager[Symbol.dispose]();
  return [...wrong, ...open_files(layer)].map((what) => `${where}: ${what}`);
}

async function lost_on(disk: MemoryDisk, saved: readonly SavedHistory[], when: string): Promise<string[]> {
  const losses = await lost_histories(new FileSessionStore(ROOT, {}, new RecordingLayer(disk)), saved);
  return losses.map((loss) => `${when} after a power cut ${loss}`);
}
