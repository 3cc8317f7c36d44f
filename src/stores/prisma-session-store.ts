import { is_error } from "../errors.js";
import { RowStore } from "./row-store.js";
import type { ListedRow, SessionRow } from "./session-rows.js";

/** A row as Prisma returns it: the bodies as values or as JSON text, by the type of their columns. */
export interface PrismaSessionRow {
  id: string;
  metadata: unknown;
  messages: unknown;
  updated_at: Date | string;
}

type Selected = Pick<PrismaSessionRow, "id" | "updated_at"> & Partial<PrismaSessionRow>;

/** What is written: a value that each generated delegate has another type for, and always an ISO 8601 date. */
interface WrittenColumns {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `InputJsonValue` of the generated code, or `string`
  metadata: any;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the same
  messages: any;
  updated_at: string;
}

/**
 * What is called of a delegate that Prisma generates (`prisma.session`) for a model with `id String @id`, `metadata`
 * and `messages` (`Json` or `String`) and `updated_at` (`DateTime` or `String`).
 */
export interface PrismaSessionDelegate {
  /** Tells the types of the columns. Every generated delegate has it; without it the bodies are written as values. */
  readonly fields?: {
    readonly metadata: { readonly typeName: string };
    readonly messages: { readonly typeName: string };
  };
  findMany(args: { select: { id: true; metadata?: true; updated_at: true } }): PromiseLike<readonly Selected[]>;
  findUnique(args: {
    where: { id: string };
    select?: { id: true; metadata: true; updated_at: true };
  }): PromiseLike<Selected | null>;
  upsert(args: {
    where: { id: string };
    create: { id: string } & WrittenColumns;
    update: WrittenColumns;
    select: { id: true };
  }): PromiseLike<unknown>;
  deleteMany(args: { where: { id: string } }): PromiseLike<{ count: number }>;
}

const ENTRY = { id: true, metadata: true, updated_at: true } as const;

/**
 * Sessions in a table of yours, reached by the delegate of a Prisma model. Prisma is not imported. `list` reads no
 * messages. Of two writers of one session the last one wins.
 */
export class PrismaSessionStore extends RowStore {
  constructor(delegate: PrismaSessionDelegate) {
    super({
      list: () => list_rows(delegate),
      load: async (id) => {
        const row = await delegate.findUnique({ where: { id } });
        return row && { messages: undefined, ...listed(row) };
      },
      upsert: async ({ id, ...row }) => {
        const update = columns(delegate, row);
        await delegate.upsert({ where: { id }, create: { id, ...update }, update, select: { id: true } });
      },
      delete: async (id) => (await delegate.deleteMany({ where: { id } })).count > 0,
    });
  }
}

/** Prisma parses `Json` columns itself, and one damaged row fails them all: then each is read alone. */
async function list_rows(delegate: PrismaSessionDelegate): Promise<ListedRow[]> {
  try {
    return (await delegate.findMany({ select: ENTRY })).map(listed);
  } catch (error) {
    if (!is_error(error, "SyntaxError")) {
      throw error;
    }
  }
  const rows: ListedRow[] = [];
  for (const { id, updated_at } of await delegate.findMany({ select: { id: true, updated_at: true } })) {
    const row = await read_alone(delegate, id);
    if (row !== null) {
      rows.push(row ? listed(row) : { id, metadata: undefined, updated_at });
    }
  }
  return rows;
}

/** `null`: it is gone, `undefined`: it cannot be read. */
async function read_alone(delegate: PrismaSessionDelegate, id: string): Promise<Selected | null | undefined> {
  try {
    return await delegate.findUnique({ where: { id }, select: ENTRY });
  } catch (error) {
    if (is_error(error, "SyntaxError")) {
      return undefined;
    }
    throw error;
  }
}

function listed(row: Selected): ListedRow {
  return { metadata: undefined, ...row };
}

function columns({ fields }: PrismaSessionDelegate, row: Omit<SessionRow, "id">): WrittenColumns {
  const date = new Date(row.updated_at);
  return {
    metadata: body(row.metadata, fields?.metadata.typeName),
    messages: body(row.messages, fields?.messages.typeName),
    // A `DateTime` takes nothing but a whole ISO 8601 date; the metadata keep what was given.
    updated_at: (Number.isNaN(date.getTime()) ? new Date() : date).toISOString(),
  };
}

/** A value for a `Json` column, its text for a `String` one. */
function body(value: object, type: string | undefined): object | string {
  const json = JSON.stringify(value);
  // Prisma drops a key `__proto__` of a value; as a text, which is JSON too, it survives and reads the same.
  return type === "String" || json.includes('"__proto__":') ? json : value;
}
