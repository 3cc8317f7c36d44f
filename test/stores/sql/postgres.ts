import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";

const SERVER = { host: "127.0.0.1", user: "postgres", database: "test", connectionTimeoutMillis: 5000 };

/** Nothing here has to survive a power cut. */
const QUICK = "-c synchronous_commit=off";

/** A pool of connections to the server; `settings` are those of each session. */
export function connect_postgres({ settings = {}, ...more }: pg.PoolConfig & { settings?: object } = {}) {
  const options = [QUICK, ...Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)].join(" ");
  const pool = new pg.Pool({ ...SERVER, max: 8, ...more, options });
  // A connection that is lost between two queries says so here; the next query fails as well.
  pool.on("connect", (client) => void client.on("error", () => undefined));
  pool.on("error", () => undefined);
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
}
