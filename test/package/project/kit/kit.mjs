import assert from "node:assert/strict";
import process from "node:process";
import { session_store_cases, verify_session_store } from "@simulacra-ai/session/conformance";
import { STORES } from "./stores.mjs";

/**
 * Runs the conformance kit on one kind of store, and removes what it leaves: `kit.mjs STORE PLACE`. With `kills` behind
 * that, only the case that kills processes, else all others. Prints how many cases passed.
 */
const [kind, place, group] = process.argv.slice(2);
const { open, close, empty, remove } = await STORES[kind]();
const again = () => open(place);
const options = {
  open: async () => {
    await empty(place);
    return open(place);
  },
  reopen: again,
  open_second: again,
  close,
};
if (group === "kills") {
  Object.assign(process.env, { KIT_STORE: kind, KIT_PLACE: place });
  options.kills = { module: new URL("killed-store.mjs", import.meta.url).href, rounds: 2 };
}
try {
  const wanted = session_store_cases.filter((one) => (one.group === "kills") === (group === "kills"));
  const { cases, passed } = await verify_session_store(options, wanted);
  const others = cases.filter(({ result, reason }) => result !== "pass" && reason !== "needs flush");
  assert.deepEqual(others, []);
  console.log(passed);
} finally {
  await remove(place);
}
