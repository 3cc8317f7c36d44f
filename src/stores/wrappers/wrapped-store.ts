import type { Message } from "@simulacra-ai/core";
import { as_stored, AS_STORED, has_capability, type SessionParts } from "../../capabilities.js";
import { SessionError } from "../../errors.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";

const CAPABILITIES = ["append", "replace", "update", "flush", "set_draft"] as const;

type Metadata = Partial<SessionMetadata>;

/** The store that another one wraps; `undefined` where that is none of these wrappers. */
let inner_of: (store: SessionStore) => SessionStore | undefined;

/**
 * A store over another one, with the capabilities that the other has and no more: those that it lacks are `undefined`
 * here, although the class has methods for them.
 */
export abstract class WrappedStore implements SessionStore {
  readonly #inner: SessionStore;

  constructor(inner: SessionStore) {
    if (typeof (inner as SessionStore | undefined)?.load !== "function") {
      throw new SessionError("invalid_input", "a store is needed to wrap");
    }
    this.#inner = inner;
    for (const capability of CAPABILITIES) {
      if (!has_capability(inner, capability)) {
        Object.defineProperty(this, capability, { value: undefined, configurable: true, writable: true });
      }
    }
  }

  /** The other store, with what it has: what it lacks is never asked for. */
  protected get inner(): Required<SessionStore> {
    return this.#inner as Required<SessionStore>;
  }

  abstract list(query?: SessionQuery): Promise<SessionMetadata[]>;
  abstract load(id: string): Promise<StoredSession | undefined>;
  abstract save(id: string, messages: Message[], metadata?: Metadata): Promise<void>;
  abstract append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Metadata },
  ): Promise<SessionRevision>;
  abstract replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Metadata },
  ): Promise<SessionRevision>;
  abstract update(id: string, metadata: Metadata): Promise<boolean>;
  abstract set_draft(id: string, draft: SessionDraft | undefined): Promise<void>;

  async delete(id: string): Promise<boolean> {
    return this.#inner.delete(id);
  }

  abstract flush(id?: string): Promise<void>;

  /** What `load` would give back of these. */
  [AS_STORED](parts: SessionParts): SessionParts {
    return as_stored(this.#inner, parts);
  }

  static {
    inner_of = (store) => (#inner in store ? store.#inner : undefined);
  }
}

/** Whether a store is of this class, or wraps one that is, as far as the wrappers are of this package. */
export function wraps(store: SessionStore, type: abstract new (...args: never[]) => SessionStore): boolean {
  const inner = inner_of(store);
  return store instanceof type || (inner !== undefined && wraps(inner, type));
}
