export { SqlSessionStore } from "./sql-session-store.js";
export type { SqlDialect, SqlSessionStoreOptions } from "./sql-tables.js";
