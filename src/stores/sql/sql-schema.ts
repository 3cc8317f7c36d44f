import { sql, type RawBuilder } from "kysely";
import type { SqlDatabase, SqlDialect, SqlTables } from "./sql-tables.js";

/** A step from one form of the tables to the next. */
export interface SqlMigration {
  name: string;
  /**
   * MySQL commits each of them on its own, so there they must do no harm when they run again: `IF NOT EXISTS`, with the
   * indexes inside.
   */
  statements(database: SqlDatabase): RawBuilder<unknown>[];
}

/** Only ever added to: the position, counted from 1, is the version of the tables. */
export const MIGRATIONS: readonly SqlMigration[] = [
  {
    name: "sessions and messages",
    statements: (database) => {
      const { key, date, word, text } = TYPES[database.dialect];
      return [
        ...create_table(
          database,
          "sessions",
          [
            sql`session_key ${key} not null primary key`,
            sql`id ${text} not null`,
            sql`updated_at ${date} not null`,
            sql`parent_key ${key}`,
            sql`kind ${word}`,
            sql`metadata ${text} not null`,
            sql`message_count integer not null`,
            sql`revision ${word} not null`,
            sql`version ${word} not null`,
            sql`generation ${word} not null`,
            sql`locks bigint not null`,
          ],
          {
            sessions_by_date: sql`updated_at desc, session_key`,
            sessions_by_kind: sql`kind, updated_at desc, session_key`,
            sessions_by_parent: sql`parent_key, updated_at desc`, // with the id it would be too long to be indexed
          },
        ),
        ...create_table(database, "messages", [
          sql`session_key ${key} not null`,
          sql`position integer not null`,
          sql`generation ${word} not null`,
          sql`body ${text} not null`,
          sql`primary key (session_key, position)`,
        ]),
      ];
    },
  },
  {
    name: "drafts",
    statements: (database) => {
      const { key, text } = TYPES[database.dialect];
      return create_table(database, "drafts", [
        sql`session_key ${key} not null primary key`,
        sql`prompt_id ${text}`,
        sql`body ${text} not null`,
      ]);
    },
  },
];

/** The one table that is there before the first step. */
export function create_migrations_table(database: SqlDatabase): RawBuilder<unknown>[] {
  const { text } = TYPES[database.dialect];
  return create_table(database, "migrations", [
    sql`version integer not null primary key`,
    sql`name ${text} not null`,
    sql`applied_at ${text} not null`,
    sql`locks bigint not null`,
  ]);
}

type TypeName = "key" | "date" | "word" | "text";

const C_TEXT = sql`text collate "C"`;

/** Every text compares by its bytes, whatever the database is set to. */
const TYPES: Record<SqlDialect, Record<TypeName, RawBuilder<unknown>>> = {
  postgres: { key: C_TEXT, date: C_TEXT, word: C_TEXT, text: C_TEXT },
  sqlite: { key: sql`text`, date: sql`text`, word: sql`text`, text: sql`text` },
  mysql: { key: sql`varchar(340)`, date: sql`varchar(200)`, word: sql`varchar(16)`, text: sql`longtext` },
};

const MYSQL_TABLE = sql`engine = InnoDB row_format = dynamic default character set utf8mb4 collate utf8mb4_bin`;

/** The table with its prefix and schema, quoted. */
export function table_of({ names, schema }: SqlDatabase, table: keyof SqlTables): RawBuilder<unknown> {
  return schema === undefined ? sql.id(names[table]) : sql.id(schema, names[table]);
}

function create_table(
  database: SqlDatabase,
  table: keyof SqlTables,
  columns: RawBuilder<unknown>[],
  indexes: { [name: string]: RawBuilder<unknown> } = {},
): RawBuilder<unknown>[] {
  const { dialect, names, schema } = database;
  const prefix = names[table].slice(0, -table.length);
  const name = table_of(database, table);
  const all = Object.entries(indexes).map(([index, of]) => ({ index: `${prefix}${index}`, of }));
  if (dialect === "mysql") {
    const inside = all.map(({ index, of }) => sql`index ${sql.id(index)} (${of})`);
    return [sql`create table if not exists ${name} (${sql.join([...columns, ...inside])}) ${MYSQL_TABLE}`];
  }
  return [
    sql`create table if not exists ${name} (${sql.join(columns)})`,
    ...all.map(({ index, of }) =>
      dialect === "sqlite" && schema !== undefined
        ? sql`create index if not exists ${sql.id(schema, index)} on ${sql.id(names[table])} (${of})`
        : sql`create index if not exists ${sql.id(index)} on ${name} (${of})`,
    ),
  ];
}
