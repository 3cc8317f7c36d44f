import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { message, temporary_directory } from "../helpers.js";
import { append, publish } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

test("rule 46: a thousand saves, appends and loads at once have few files open", async () => {
  let most = 0;
  const layer = new HookedLayer(() => {
    most = Math.max(most, layer.opened - layer.closed);
  });
  const ids = Array.from({ length: 1000 }, (_, n) => `s${n}`);
  const store = new FileSessionStore(temporary_directory(), { durable: false }, layer);
  await Promise.all(ids.map((id) => store.save(id, [message(id)])));
  const loaded = await Promise.all(ids.map((id) => store.load(id)));
  await Promise.all(ids.map((id, n) => store.append(id, [message("more")], { revision: loaded[n]?.revision ?? "" })));
  await Promise.all(ids.map((id) => store.delete(id)));
  expect(most).toBeGreaterThan(20);
  expect(most).toBeLessThan(300);
});

test("rules 40 and 46: hundreds of sessions that another program has replaced are rescued at once", async () => {
  const root = temporary_directory();
  const layer = new HookedLayer(undefined, { syncs: false });
  const store = new FileSessionStore(root, { durable: false }, layer);
  const ids = Array.from({ length: 250 }, (_, n) => `s${n}`);
  for (const id of ids) {
    await store.save(id, []);
    await append(store, [`ours of ${id}`], id);
    publish(root, id, { label: "theirs" }, [message("theirs")]);
  }
  await Promise.all(ids.map((id) => store.update(id, { label: "L" })));
  const listed = await store.list();
  expect(listed).toHaveLength(2 * ids.length);
  expect(listed.filter(({ label }) => label === "L")).toHaveLength(ids.length);
});
