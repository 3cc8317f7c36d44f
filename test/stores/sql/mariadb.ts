import { Kysely, MysqlDialect } from "kysely";
import mysql from "mysql2";

const SERVER = { host: "127.0.0.1", user: "root", database: "test", connectTimeout: 5000 };

/** A pool of connections to the server; `settings` are those of each session, in SQL. */
export function connect_mariadb(database = SERVER.database, settings?: string) {
  const pool = mysql.createPool({ ...SERVER, database, connectionLimit: 8 });
  if (settings !== undefined) {
    pool.on("connection", (connection) => void connection.query(`set session ${settings}`));
  }
  return new Kysely<unknown>({ dialect: new MysqlDialect({ pool }) });
}
