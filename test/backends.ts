import {
  DrizzleSessionStore,
  EncryptedSessionStore,
  FileSessionStore,
  InMemorySessionStore,
  PrismaSessionStore,
  RedactingSessionStore,
  type FileSessionFormat,
  type SessionStore,
} from "@simulacra-ai/session";
import type { ConformanceKills } from "@simulacra-ai/session/conformance";
import { describe, test } from "vitest";
import { has_capability } from "../src/capabilities.js";
import { RedisSessionStore } from "../src/stores/redis/index.js";
import { SqlSessionStore } from "../src/stores/sql/index.js";
import { FourMethodStore } from "./support/four-method-store.js";
import type { FileLayer } from "../src/stores/file/fs/file-layer.js";
import { FEWEST, LimitedLayer } from "./stores/file/limited-layer.js";
import { WindowsLayer } from "./stores/file/windows-layer.js";
import { is_there } from "./support/servers.js";
import { temporary_directory } from "./support/temporary-directory.js";

export interface OpenBackend {
  store: SessionStore;
  /** Opens a second store over the same sessions, where they are kept outside of the first one. */
  reopen?: () => Promise<SessionStore>;
  /** The directory of a store of files. */
  directory?: string;
  close: () => Promise<void>;
}

export interface Backend {
  name: string;
  /** A store of this kind that is only looked at: tells the capabilities. */
  sample: SessionStore;
  /** The ending of the file that holds a session's messages, for a store of files. */
  extension?: ".json" | ".ndjson";
  /** The server that has to be there. */
  server?: "PostgreSQL" | "MariaDB" | "Redis";
  /** A store that the tests have beside those of the package. */
  is_double?: boolean;
  /** Opens a store over the same sessions in a process that is going to be killed. */
  kills?: ConformanceKills;
  /** Opens a store without sessions each time. */
  open: () => Promise<OpenBackend>;
  /** Ends what the stores of this kind share, such as a database. */
  end?: () => Promise<void>;
}

interface Place {
  open: () => Promise<OpenBackend>;
  close: () => Promise<void>;
}

/** A place that all stores of a kind share. It begins with the first store. */
function shared(start: () => Promise<Place>): Required<Pick<Backend, "open" | "end">> {
  let place: Promise<Place> | undefined;
  return {
    open: async () => {
      place ??= start();
      try {
        return await (await place).open();
      } catch (error) {
        place = undefined;
        throw error;
      }
    },
    end: async () => {
      const ended = place;
      place = undefined;
      await (await ended)?.close();
    },
  };
}

function kills(module: string, rounds: number): ConformanceKills {
  return { module: new URL(module, import.meta.url).href, rounds, node_options: ["--import", "tsx"] };
}

const MEMORY: Backend = {
  name: "memory",
  sample: new InMemorySessionStore(),
  open: async () => ({ store: new InMemorySessionStore(), close: async () => undefined }),
};

function file(
  name: string,
  format: FileSessionFormat,
  durable: boolean,
  layer_in?: (directory: string) => FileLayer,
): Backend {
  return {
    name,
    sample: new FileSessionStore("nowhere"),
    extension: `.${format}`,
    open: async () => {
      const { path, remove } = await temporary_directory();
      const stores: FileSessionStore[] = [];
      const open = () => {
        const store = new FileSessionStore(path, { format, durable }, layer_in?.(path));
        stores.push(store);
        return store;
      };
      const close = async () => {
        await Promise.allSettled(stores.map((store) => store.flush())); // compactions come to rest
        await remove();
      };
      return { store: open(), reopen: async () => open(), directory: path, close };
    },
  };
}

const FILE = { ...file("file", "json", true), kills: kills("conformance/file-store-module.ts", 1) };

const FOUR_METHOD: Backend = {
  name: "four-method",
  sample: new FourMethodStore(),
  is_double: true,
  open: async () => ({ store: new FourMethodStore(), close: async () => undefined }),
};

/** Its clients take seconds to load, so they are loaded with the first store. */
function rows(name: string, sample: SessionStore): Backend {
  return { name, sample, ...shared(async () => (await import("./stores/row-backends.js")).start_rows(name)) };
}

const DRIZZLE_TABLE = rows("drizzle, json", DrizzleSessionStore.prototype);

function sql(database: "SQLite" | "PGlite" | "PostgreSQL" | "MariaDB"): Backend {
  const is_server = database === "PostgreSQL" || database === "MariaDB";
  return {
    name: `sql, ${database}`,
    sample: SqlSessionStore.prototype,
    ...(is_server && { server: database, kills: kills("stores/sql/sql-store-module.ts", 1) }),
    ...shared(async () => (await import("./stores/sql/backend.js")).start_sql(database)),
  };
}

const REDIS: Backend = {
  name: "redis",
  sample: RedisSessionStore.prototype,
  server: "Redis",
  kills: kills("stores/redis/redis-store-module.ts", 1),
  ...shared(async () => (await import("./stores/redis/backend.js")).start_redis()),
};

/** A wrapper around another store of the table. */
function wrapped(name: string, { sample, open, end }: Backend, wrap: (inner: SessionStore) => SessionStore): Backend {
  return {
    name,
    sample: wrap(sample),
    ...(end && { end }),
    open: async () => {
      const { store, reopen, close } = await open();
      return { store: wrap(store), close, ...(reopen && { reopen: async () => wrap(await reopen()) }) };
    },
  };
}

const KEYS = { old: new Uint8Array(32).fill(1), now: new Uint8Array(32).fill(2) };
const encrypted = (inner: SessionStore) => new EncryptedSessionStore(inner, { keys: KEYS, current: "now" });
const redacting = (inner: SessionStore) => new RedactingSessionStore(inner);

/** One store of each kind that a manager can tell apart. All of them open at once. */
export const FOR_MANAGERS: readonly Backend[] = [MEMORY, FILE, FOUR_METHOD];

/** The file store on file systems with fewer features. `npm run test:verification` runs the conformance kit on them. */
export const ON_LIMITED_FILE_SYSTEMS: readonly Backend[] = [
  file("file, few features", "json", false, () => new LimitedLayer(FEWEST)),
  file("file, as on Windows", "json", true, (directory) => new WindowsLayer(directory)),
  file("ndjson file, as on Windows", "ndjson", false, (directory) => new WindowsLayer(directory)),
];

/** Every store that `npm test` runs on. */
export const BACKENDS: readonly Backend[] = [
  ...FOR_MANAGERS,
  file("ndjson file", "ndjson", false),
  DRIZZLE_TABLE,
  rows("drizzle, text", DrizzleSessionStore.prototype),
  rows("drizzle, json, all queries", DrizzleSessionStore.prototype),
  rows("prisma, Session", PrismaSessionStore.prototype),
  rows("prisma, TextSession", PrismaSessionStore.prototype),
  sql("SQLite"),
  sql("PGlite"),
  sql("PostgreSQL"),
  sql("MariaDB"),
  REDIS,
  wrapped("encrypted, in memory", MEMORY, encrypted),
  wrapped("encrypted, files", file("file", "json", false), encrypted),
  wrapped("redacted, in memory", MEMORY, redacting),
  wrapped("redacted, then encrypted", MEMORY, (inner) => redacting(encrypted(inner))),
  wrapped("encrypted, over a table", { ...DRIZZLE_TABLE, ...rows("drizzle, json", DRIZZLE_TABLE.sample) }, encrypted),
];

const CAPABILITIES = ["append", "replace", "update", "flush", "set_draft"] as const;
type Capability = (typeof CAPABILITIES)[number];

export function capabilities_of(store: SessionStore): Capability[] {
  return CAPABILITIES.filter((name) => has_capability(store, name));
}

export type BackendFilter = (backend: Backend) => boolean;

export function offers(...wanted: Capability[]): BackendFilter {
  return ({ sample }) => wanted.every((name) => has_capability(sample, name));
}

/** A store of files of its own, in either form. */
export const keeps_files: BackendFilter = ({ extension }) => extension !== undefined;

export const has_no_capability: BackendFilter = ({ sample }) => capabilities_of(sample).length === 0;

/** `SESSION_BACKENDS=memory;sql, SQLite` runs those two alone; where no name has a comma, a comma does as well. */
const WANTED = wanted_backends(process.env["SESSION_BACKENDS"] ?? "");

function wanted_backends(list: string): ReadonlySet<string> {
  const known = [...BACKENDS, ...ON_LIMITED_FILE_SYSTEMS].map(({ name }) => name);
  const separated = known.includes(list.trim()) ? [list] : list.split(list.includes(";") ? ";" : ",");
  const wanted = separated.map((name) => name.trim()).filter((name) => name !== "");
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new Error(`SESSION_BACKENDS names ${unknown.join("; ")}; there are ${known.join("; ")}`);
  }
  return new Set(wanted.length > 0 ? wanted : known);
}

/**
 * Defines tests for every store of a list that the filter and SESSION_BACKENDS let through. One line is skipped for a
 * store whose server is missing, and one where SESSION_BACKENDS leaves no store.
 */
export function each_backend(
  define: (backend: Backend) => unknown,
  filter: BackendFilter = () => true,
  backends: readonly Backend[] = FOR_MANAGERS,
): void {
  const wanted = backends.filter((backend) => filter(backend) && WANTED.has(backend.name));
  if (wanted.length === 0) {
    test.skip("left out by SESSION_BACKENDS", () => undefined); // a file without tests fails
  }
  for (const backend of wanted) {
    const { name, server } = backend;
    if (server !== undefined && !is_there(server)) {
      test.skip(`on the ${name} store: needs ${server}`, () => undefined);
    } else {
      describe(`on the ${name} store`, () => define(backend) as Promise<void> | void);
    }
  }
}
