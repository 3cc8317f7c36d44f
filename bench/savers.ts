import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Conversation, replay_turn, StreamingProvider, type RecordedTurn } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager, type FileSessionFormat, type SessionStore } from "@simulacra-ai/session";
import type { FileLayer } from "../src/stores/file/fs/file-layer.js";
import { json_line } from "./conversations.js";

/** A way to keep a conversation on disk. */
export interface Saver {
  /** Resolves when the turn that has just ended is stored. */
  turn_stored(): Promise<void>;
  close(): Promise<void>;
}

export type OpenSaver = (conversation: Conversation, directory: string) => Promise<Saver>;

/** Runs the turns through the engine, one awaited save each. Returns how long the turns took, saves included. */
export async function save_turns(turns: readonly RecordedTurn[], open_saver: OpenSaver, directory: string) {
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  const saver = await open_saver(conversation, directory);
  const began = performance.now();
  for (const turn of turns) {
    await replay_turn(conversation, provider, turn);
    await saver.turn_stored();
  }
  const elapsed = performance.now() - began;
  await saver.close();
  return elapsed;
}

export interface Managed {
  format: FileSessionFormat;
  layer?: FileLayer | undefined;
  /** The stored session to go on with; without it, a new one. */
  session_id?: string;
  drafts?: boolean;
  /** The store, where it is to be another one. */
  open_store?: (directory: string) => SessionStore;
}

/** What this package does, every save on the device before it counts. */
export function with_manager({ format, layer, session_id, drafts = false, open_store }: Managed): OpenSaver {
  return async (conversation, directory) => {
    const store = open_store?.(directory) ?? new FileSessionStore(directory, { format, durable: true }, layer);
    const manager = new SessionManager(store, conversation, { drafts });
    let awaited = 0;
    let saves = 0;
    let wake = () => undefined as void;
    manager.on("save", () => {
      saves += 1;
      wake();
    });
    manager.on("lifecycle_error", ({ error }) => {
      throw error;
    });
    const turn_stored = async () => {
      for (awaited += 1; saves < awaited;) {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    };
    if (session_id === undefined) {
      manager.start_new();
      await turn_stored();
    } else {
      await manager.load(session_id);
    }
    return { turn_stored, close: () => manager[Symbol.asyncDispose]() };
  };
}

/** The least that a durable save can do: the new bytes behind the old ones, and the device told to keep them. */
export const raw_limit: OpenSaver = async (conversation, directory) => {
  const file = await open(join(directory, "raw.ndjson"), "a");
  let written = conversation.messages.length;
  return {
    async turn_stored() {
      const { messages } = conversation;
      await file.write(messages.slice(written).map(json_line).join(""));
      await file.datasync();
      written = messages.length;
    },
    close: () => file.close(),
  };
};

/** Reads, parses and rewrites everything at each save, in place, and leaves the rest to the system. */
export const rewriting_baseline: OpenSaver = async (conversation, directory) => {
  const path = join(directory, "baseline.json");
  await writeFile(path, JSON.stringify({ metadata: { created_at: new Date().toISOString() }, messages: [] }));
  return {
    async turn_stored() {
      const { messages } = conversation;
      const { metadata } = JSON.parse(await readFile(path, "utf8")) as { metadata: object };
      const updated = { ...metadata, updated_at: new Date().toISOString(), message_count: messages.length };
      await writeFile(path, JSON.stringify({ metadata: updated, messages }, null, 2));
    },
    close: () => Promise.resolve(),
  };
};
