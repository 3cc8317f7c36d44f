// Adapters and delegates as applications have them, without a cast: compiled by `npm run typecheck`, never run.
import type { Message } from "@simulacra-ai/core";
import {
  DrizzleSessionStore,
  PrismaSessionStore,
  type DrizzleSessionAdapter,
  type PrismaSessionDelegate,
  type SessionMetadata,
  type SessionStore,
} from "@simulacra-ai/session";
import { and, desc, eq, sql } from "drizzle-orm";
import { jsonb, pgTable, text, timestamp, type PgDatabase, type PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { PrismaClient } from "../prisma/generated/client.js";

const sessions = pgTable("sessions", {
  id: text().primaryKey(),
  metadata: jsonb().$type<SessionMetadata>().notNull(),
  messages: jsonb().$type<Message[]>().notNull(),
  updated_at: timestamp({ mode: "string", withTimezone: true, precision: 3 }).notNull(),
});

/** The columns have no type of their own. */
const untyped = pgTable("sessions", {
  id: text().primaryKey(),
  metadata: jsonb().notNull(),
  messages: jsonb().notNull(),
  updated_at: text().notNull(),
});

export const postgres_adapter = (db: PgDatabase<PgQueryResultHKT>): DrizzleSessionAdapter => ({
  list: () => db.select().from(sessions).orderBy(desc(sessions.updated_at)),
  load: async (id) => (await db.select().from(sessions).where(eq(sessions.id, id)))[0],
  upsert: (row) => db.insert(sessions).values(row).onConflictDoUpdate({ target: sessions.id, set: row }),
  delete: async (id) => (await db.delete(sessions).where(eq(sessions.id, id)).returning()).length > 0,
  append: async (id, messages, { stored, ...row }) => {
    const changed = await db
      .update(sessions)
      .set({ ...row, messages: sql`${sessions.messages} || ${JSON.stringify(messages)}::jsonb` })
      .where(
        and(
          eq(sessions.id, id),
          eq(sessions.updated_at, stored.updated_at),
          sql`jsonb_array_length(${sessions.messages}) = ${stored.message_count}`,
        ),
      )
      .returning({ id: sessions.id });
    return changed.length > 0;
  },
});

export class UntypedAdapter implements DrizzleSessionAdapter {
  constructor(readonly db: PgDatabase<PgQueryResultHKT>) {}

  async list() {
    return this.db.select().from(untyped).orderBy(desc(untyped.updated_at));
  }

  async list_metadata() {
    const { id, metadata, updated_at } = untyped;
    return this.db.select({ id, metadata, updated_at }).from(untyped);
  }

  async load(id: string) {
    const [row] = await this.db.select().from(untyped).where(eq(untyped.id, id));
    return row;
  }

  async upsert(row: typeof untyped.$inferInsert): Promise<void> {
    await this.db.insert(untyped).values(row).onConflictDoUpdate({ target: untyped.id, set: row });
  }

  async delete(id: string): Promise<boolean> {
    return (await this.db.delete(untyped).where(eq(untyped.id, id)).returning()).length > 0;
  }
}

type Transaction = Parameters<Parameters<PrismaClient["$transaction"]>[0]>[0];

export function delegates(prisma: PrismaClient, transaction: Transaction): PrismaSessionDelegate[] {
  const extended = prisma.$extends({
    model: { session: { count_all: async () => 0 } },
    result: { session: { size: { needs: { messages: true }, compute: ({ messages }) => messages } } },
  });
  return [prisma.session, prisma.textSession, extended.session, transaction.session];
}

export function stores(db: PgDatabase<PgQueryResultHKT>, prisma: PrismaClient): SessionStore[] {
  // @ts-expect-error a client is no delegate
  new PrismaSessionStore(prisma);
  // @ts-expect-error a database is no adapter
  new DrizzleSessionStore(db);
  return [
    new DrizzleSessionStore(postgres_adapter(db)),
    new DrizzleSessionStore(new UntypedAdapter(db)),
    new PrismaSessionStore(prisma.session),
  ];
}
