import { execFileSync } from "node:child_process";
import fs from "node:fs";
import process from "node:process";
import type { Kysely } from "kysely";
import { inject } from "vitest";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The names of servers and programs that can be used here. */
    servers: string[];
  }
}

interface Server {
  name: string;
  /** Says what to do where it is missing. */
  how_to_get: string;
  /** Rejects where it cannot be used. */
  reach: () => Promise<unknown>;
  /** False if CI can do without it on this machine. */
  is_required?: () => boolean;
}

const can_mount = () =>
  process.getuid?.() === 0 && ["/dev/fuse", "/dev/loop-control"].every((path) => fs.existsSync(path));

/** What some tests need beside Node.js. */
const SERVERS: readonly Server[] = [
  {
    name: "PostgreSQL",
    how_to_get: "listens at 127.0.0.1:5432, with a database `test` for `postgres` (apt install postgresql)",
    reach: async () => {
      const { connect_postgres } = await import("../stores/sql/postgres.js");
      await ask(connect_postgres());
    },
  },
  {
    name: "MariaDB",
    how_to_get: "listens at 127.0.0.1:3306, with a database `test` for `root` (apt install mariadb-server)",
    reach: async () => {
      const { connect_mariadb } = await import("../stores/sql/mariadb.js");
      await ask(connect_mariadb());
    },
  },
  {
    name: "Redis",
    how_to_get: "listens at 127.0.0.1:6379 (apt install redis-server)",
    reach: async () => {
      const { reach_shared } = await import("../stores/redis/clients.js");
      await reach_shared();
    },
  },
  {
    name: "redis-server",
    how_to_get: "and redis-cli are programs on the path (apt install redis-server redis-tools)",
    reach: async () => {
      execFileSync("redis-server", ["--version"]);
      execFileSync("redis-cli", ["--version"]);
    },
  },
  {
    name: "FUSE",
    how_to_get: "is there, for root (apt install exfatprogs exfat-fuse bindfs fuse3)",
    reach: async () => {
      if (!can_mount()) {
        throw new Error("no root, or no /dev/fuse and /dev/loop-control");
      }
      const { require_programs } = await import("../stores/file/mounts.js");
      require_programs();
    },
    is_required: can_mount,
  },
  {
    name: "overlayfs",
    how_to_get: "can be mounted, by root",
    reach: async () => {
      const { overlaid } = await import("../stores/file/mounts.js");
      overlaid("writable").unmount();
    },
    is_required: () => false, // containers often have none within
  },
];

async function ask(db: Kysely<unknown>): Promise<void> {
  const { sql } = await import("kysely");
  try {
    await sql`select 1`.execute(db);
  } finally {
    await db.destroy();
  }
}

/** Looks once for all workers. Says in one line each what is missing; in CI nothing may be. */
export default async function setup(project: TestProject): Promise<void> {
  const found: string[] = [];
  for (const { name, how_to_get, reach, is_required = () => true } of SERVERS) {
    try {
      await reach();
      found.push(name);
    } catch (error) {
      const line = `${name} is missing: its tests run where it ${how_to_get}`;
      if (process.env["CI"] && is_required()) {
        throw new Error(line, { cause: error });
      }
      console.warn(`SKIPPED: ${line}: ${String(error)}`);
    }
  }
  project.provide("servers", found);
}

/** Whether tests that need this server or program can run. */
export function is_there(name: string): boolean {
  const found = inject("servers") as string[] | undefined;
  if (found === undefined) {
    throw new Error(`nobody has looked for ${name}: test/support/servers.ts is the global setup of vitest.config.ts`);
  }
  return found.includes(name);
}
