export { RedisSessionStore } from "./redis-session-store.js";
export type { RedisSessionStoreOptions } from "./redis-session-store.js";
export type { RedisSessionClient } from "./redis-client.js";
