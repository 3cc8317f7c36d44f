import { join } from "node:path";
import { createClient, type Client, type InValue } from "@libsql/client";
import { PrismaLibSql } from "@prisma/adapter-libsql";
import {
  DrizzleSessionStore,
  PrismaSessionStore,
  type DrizzleSessionAdapter,
  type PrismaSessionDelegate,
  type SessionMetadata,
  type SessionStore,
} from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { and, desc, eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/libsql";
import { sqliteTable, text } from "drizzle-orm/sqlite-core";
import { onTestFinished } from "vitest";
import { PrismaClient } from "../prisma/generated/client.js";
import { memory_place, new_directory } from "../support/temporary-directory.js";

/** An SQLite file with one table of sessions, gone after the test. */
export interface Table {
  name: string;
  url: string;
  /** Past the store. */
  client: Client;
}

/** A row in SQL, as it stands. */
export interface RawRow {
  id: string;
  metadata: InValue;
  messages: InValue;
  updated_at: InValue;
}

export async function open_table(name: string): Promise<Table> {
  const { remove, ...table } = await make_table(name);
  onTestFinished(remove);
  return table;
}

async function make_table(name: string): Promise<Table & { remove: () => void }> {
  const directory = new_directory(memory_place()); // power cuts of the database are not tested here
  const url = `file:${join(directory.path, "sessions.db")}`;
  const client = createClient({ url });
  const remove = () => {
    client.close();
    directory.remove();
  };
  const type = name === "Session" ? ["JSONB", "DATETIME"] : ["TEXT", "TEXT"];
  await client.execute(`CREATE TABLE "${name}" (
    "id" TEXT NOT NULL PRIMARY KEY, "metadata" ${type[0]}, "messages" ${type[0]}, "updated_at" ${type[1]})`);
  return { name, url, client, remove };
}

export async function put_raw({ client, name }: Table, { id, metadata, messages, updated_at }: RawRow): Promise<void> {
  await client.execute({
    sql: `INSERT OR REPLACE INTO "${name}" ("id", "metadata", "messages", "updated_at") VALUES (?, ?, ?, ?)`,
    args: [id, metadata, messages, updated_at],
  });
}

export async function raw_row({ client, name }: Table, id: string): Promise<Record<string, unknown> | undefined> {
  const { rows } = await client.execute({ sql: `SELECT * FROM "${name}" WHERE "id" = ?`, args: [id] });
  return rows[0] && { ...rows[0] };
}

export const json_sessions = sqliteTable("json_sessions", {
  id: text().primaryKey(),
  metadata: text({ mode: "json" }).$type<SessionMetadata>().notNull(),
  messages: text({ mode: "json" }).$type<Message[]>().notNull(),
  updated_at: text().notNull(),
});

export const text_sessions = sqliteTable("text_sessions", {
  id: text().primaryKey(),
  metadata: text().notNull(),
  messages: text().notNull(),
  updated_at: text().notNull(),
});

/** Columns that Drizzle parses. */
export function json_adapter({ client }: Pick<Table, "client">): DrizzleSessionAdapter {
  const db = drizzle(client);
  return {
    list: () => db.select().from(json_sessions).orderBy(desc(json_sessions.updated_at)),
    load: (id) => db.select().from(json_sessions).where(eq(json_sessions.id, id)).get(),
    upsert: (row) => db.insert(json_sessions).values(row).onConflictDoUpdate({ target: json_sessions.id, set: row }),
    delete: async (id) => (await db.delete(json_sessions).where(eq(json_sessions.id, id))).rowsAffected > 0,
  };
}

/** Columns of plain text. */
export function text_adapter({ client }: Pick<Table, "client">): DrizzleSessionAdapter {
  const db = drizzle(client);
  return {
    list: () => db.select().from(text_sessions).orderBy(desc(text_sessions.updated_at)),
    load: async (id) => (await db.select().from(text_sessions).where(eq(text_sessions.id, id)))[0],
    upsert: async ({ metadata, messages, ...row }) => {
      const values = { ...row, metadata: JSON.stringify(metadata), messages: JSON.stringify(messages) };
      await db.insert(text_sessions).values(values).onConflictDoUpdate({ target: text_sessions.id, set: values });
    },
    delete: async (id) => (await db.delete(text_sessions).where(eq(text_sessions.id, id))).rowsAffected > 0,
  };
}

/** With both of the optional queries. */
export function full_adapter(table: Pick<Table, "client">): Required<DrizzleSessionAdapter> {
  const db = drizzle(table.client);
  const { id: of, metadata, messages, updated_at } = json_sessions;
  return {
    ...json_adapter(table),
    list_metadata: () => db.select({ id: of, metadata, updated_at }).from(json_sessions).orderBy(desc(updated_at)),
    append: async (id, added, row) => {
      const values = added.map((message) => sql`, '$[#]', json(${JSON.stringify(message)})`);
      const { rowsAffected: changed } = await db
        .update(json_sessions)
        .set({
          metadata: row.metadata,
          updated_at: row.updated_at,
          messages: sql`json_insert(${messages}${sql.join(values)})`,
        })
        .where(
          and(
            eq(of, id),
            eq(updated_at, row.stored.updated_at),
            sql`json_array_length(${messages}) = ${row.stored.message_count}`,
          ),
        );
      return changed > 0;
    },
  };
}

function connect_prisma({ url }: Table): PrismaClient {
  return new PrismaClient({ adapter: new PrismaLibSql({ url }) });
}

export function open_prisma(table: Table): PrismaClient {
  const prisma = connect_prisma(table);
  onTestFinished(() => prisma.$disconnect());
  return prisma;
}

export function delegate_of(prisma: PrismaClient, table: Table): PrismaSessionDelegate {
  return table.name === "Session" ? prisma.session : prisma.textSession;
}

export interface RowBackend {
  name: string;
  table: string;
  /** Whether a row that cannot be parsed spoils the list: the library parses, and knows no way around it. */
  spoils_list?: boolean;
  /** Whether `list` reads no messages. */
  lists_metadata?: boolean;
  open(table: Table): SessionStore;
}

export const DRIZZLE_BACKENDS: RowBackend[] = [
  {
    name: "drizzle, json",
    table: "json_sessions",
    spoils_list: true,
    open: (table) => new DrizzleSessionStore(json_adapter(table)),
  },
  { name: "drizzle, text", table: "text_sessions", open: (table) => new DrizzleSessionStore(text_adapter(table)) },
  {
    name: "drizzle, json, all queries",
    table: "json_sessions",
    spoils_list: true,
    lists_metadata: true,
    open: (table) => new DrizzleSessionStore(full_adapter(table)),
  },
];

export const PRISMA_BACKENDS: RowBackend[] = ["Session", "TextSession"].map((table) => ({
  name: `prisma, ${table}`,
  table,
  lists_metadata: true,
  open: (of) => new PrismaSessionStore(delegate_of(open_prisma(of), of)),
}));

/** Stores of one kind over one table, which is emptied when a store is closed; a client of Prisma starts slowly. */
export async function start_rows(name: string) {
  const backend = [...DRIZZLE_BACKENDS, ...PRISMA_BACKENDS].find((one) => one.name === name);
  if (backend === undefined) {
    throw new Error(`no store of rows is called ${name}`);
  }
  const table = await make_table(backend.table);
  const clients = PRISMA_BACKENDS.includes(backend) ? [connect_prisma(table), connect_prisma(table)] : [];
  const open = (of: number): SessionStore => {
    const prisma = clients[of];
    return prisma ? new PrismaSessionStore(delegate_of(prisma, table)) : backend.open(table);
  };
  return {
    open: async () => ({
      store: open(0),
      reopen: async () => open(1),
      close: async () => void (await table.client.execute(`DELETE FROM "${table.name}"`)),
    }),
    close: async () => {
      await Promise.all(clients.map((client) => client.$disconnect()));
      table.remove();
    },
  };
}
