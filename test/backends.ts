import { FileSessionStore, InMemorySessionStore, type SessionStore } from "@simulacra-ai/session";
import { describe } from "vitest";
import { FourMethodStore } from "./support/four-method-store.js";
import { temporary_directory } from "./support/temporary-directory.js";

export interface OpenBackend {
  store: SessionStore;
  /** A second store over the same sessions, where they are kept outside of the first one. */
  reopen?: () => Promise<SessionStore>;
  /** The directory of a store of files. */
  directory?: string;
  close(): Promise<void>;
}

export interface Backend {
  name: string;
  /** Sessions of its own each time. */
  open(): Promise<OpenBackend>;
}

/** Every store that the tests run on. */
export const BACKENDS: readonly Backend[] = [
  {
    name: "memory",
    open: async () => ({ store: new InMemorySessionStore(), close: async () => undefined }),
  },
  {
    name: "file",
    open: async () => {
      const { path, remove } = await temporary_directory();
      const open = () => new FileSessionStore(path);
      return { store: open(), reopen: async () => open(), directory: path, close: remove };
    },
  },
  {
    name: "four-method",
    open: async () => ({ store: new FourMethodStore(), close: async () => undefined }),
  },
];

/** `SESSION_BACKENDS=memory,file` runs those two alone. */
const WANTED = wanted_backends(process.env["SESSION_BACKENDS"]);

function wanted_backends(list: string | undefined): ReadonlySet<string> {
  const known = BACKENDS.map(({ name }) => name);
  const wanted = (list ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new Error(`SESSION_BACKENDS names ${unknown.join(", ")}; there are ${known.join(", ")}`);
  }
  return new Set(wanted.length > 0 ? wanted : known);
}

/** Defines tests for every store, or those of these names; what SESSION_BACKENDS leaves out shows as skipped. */
export function each_backend(define: (backend: Backend) => void, names?: readonly string[]): void {
  for (const backend of BACKENDS.filter(({ name }) => names?.includes(name) ?? true)) {
    describe.skipIf(!WANTED.has(backend.name))(`on the ${backend.name} store`, () => define(backend));
  }
}
