import type { Message } from "@simulacra-ai/core";
import {
  DrizzleSessionStore,
  InMemorySessionStore,
  type DrizzleSessionAdapter,
  type SessionMetadata,
  type SessionStore,
} from "@simulacra-ai/session";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { FourMethodStore } from "../../support/four-method-store.js";
import { ROOT } from "../damage/sample.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import type { Optional, Plan } from "./plan.js";

/** The methods that a manager may find on a store. */
export const METHODS = ["list", "load", "save", "delete", "append", "replace", "update", "flush", "set_draft"] as const;
export type Method = (typeof METHODS)[number];

/** The sessions of a run: a store for each user. */
export interface Opened {
  stores: [SessionStore, SessionStore];
  has_revisions: boolean;
  /** Methods of these stores that managers are not to see. */
  without: readonly Method[];
}

export function open_stores(plan: Plan): Opened {
  const { without } = plan;
  const of_one = (store: SessionStore, has_revisions: boolean, hidden: readonly Method[] = []): Opened => {
    return { stores: [store, store], has_revisions, without: [...without, ...hidden] };
  };
  switch (plan.store) {
    case "memory":
      return of_one(new FlushedMemoryStore(), true);
    case "memory-no-revisions":
      return of_one(new UnrevisedMemoryStore(), false, ["append", "replace"]);
    case "four-method":
      return of_one(new FourMethodStore(), false);
    case "rows":
      return of_one(new DrizzleSessionStore(text_adapter(without)), false);
    default: {
      const layer = new RecordingLayer();
      const { store: format } = plan;
      const open = () => new FileSessionStore(ROOT, { format }, layer);
      const first = open();
      return { stores: [first, plan.has_own_stores ? open() : first], has_revisions: true, without };
    }
  }
}

/** Has a `flush` that does nothing, so that one can fail. */
class FlushedMemoryStore extends InMemorySessionStore {
  async flush(): Promise<void> {
    return undefined;
  }
}

class UnrevisedMemoryStore extends FlushedMemoryStore {
  override async load(id: string) {
    const session = await super.load(id);
    if (session !== undefined) {
      delete session.revision;
    }
    return session;
  }
}

interface TextRow {
  id: string;
  metadata: string;
  messages: string;
  updated_at: string;
}

/** A table of JSON texts. */
function text_adapter(without: readonly Optional[]): DrizzleSessionAdapter {
  const rows = new Map<string, TextRow>();
  const put = (id: string, metadata: SessionMetadata, messages: Message[], updated_at: string) =>
    rows.set(id, { id, metadata: JSON.stringify(metadata), messages: JSON.stringify(messages), updated_at });
  return {
    list: async () => [...rows.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1)),
    load: async (id) => rows.get(id),
    upsert: async ({ id, metadata, messages, updated_at }) => put(id, metadata, messages, updated_at),
    delete: async (id) => rows.delete(id),
    ...(!without.includes("update") && {
      append: async (id, messages, { metadata, updated_at, stored }) => {
        const row = rows.get(id);
        const old = JSON.parse(row?.messages ?? "[]") as Message[];
        if (row?.updated_at !== stored.updated_at || old.length !== stored.message_count) {
          return false;
        }
        put(id, metadata, [...old, ...messages], updated_at);
        return true;
      },
    }),
  };
}
