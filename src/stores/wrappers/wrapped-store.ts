import type { Message } from "@simulacra-ai/core";
import {
  as_stored,
  AS_STORED,
  type ChangesWhatItKeeps,
  has_capability,
  type SessionParts,
} from "../../capabilities.js";
import { invalid_input } from "../../errors.js";
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

type Parts = (parts: SessionParts) => SessionParts;

/** The mark of a store that redacts, or wraps one that does, the same in every copy of this package. */
const REDACTS: unique symbol = /* @__PURE__ */ Symbol.for("@simulacra-ai/session redacts");

/** True for a store that redacts, or wraps one that does, as far as the wrappers are of this package. */
export function redacts(store: SessionStore): boolean {
  return (store as { [REDACTS]?: unknown })[REDACTS] === true;
}

/**
 * A class with the method {@link AS_STORED}.
 *
 * Hazard: bundlers keep a class with computed names, as code that runs at import. A pure function makes this one.
 */
const CONVERTING_BASE = /* @__PURE__ */ converting_class();

function converting_class(): new (convert: Parts) => ChangesWhatItKeeps {
  return class {
    readonly #convert: Parts;

    constructor(convert: Parts) {
      this.#convert = convert;
    }

    [AS_STORED](parts: SessionParts): SessionParts {
      return this.#convert(parts);
    }
  };
}

/**
 * A store over another one, with the capabilities that the other has and no more: those that it lacks are `undefined`
 * here, although the class has methods for them.
 */
export abstract class WrappedStore extends CONVERTING_BASE implements SessionStore {
  readonly #inner: SessionStore;

  /** @param convert - what `load` would give back of these parts. */
  constructor(inner: SessionStore, convert: Parts = (parts) => as_stored(inner, parts), is_redacting = false) {
    super(convert);
    if (typeof (inner as SessionStore | undefined)?.load !== "function") {
      throw invalid_input("a store is needed to wrap");
    }
    this.#inner = inner;
    Object.defineProperty(this, REDACTS, { value: is_redacting || redacts(inner) });
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
}
