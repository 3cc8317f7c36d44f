/** The stores that the kit runs on. Written out, so that Deno needs no right to read their modules. */
export const STORES = {
  file: () => import("./file-store.mjs"),
  redis: () => import("./redis-store.mjs"),
  postgresql: () => import("./postgresql-store.mjs"),
};
