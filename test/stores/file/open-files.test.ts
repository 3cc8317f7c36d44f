import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { message, outcome_of, quick_directory } from "../helpers.js";
import { append, publish } from "./files.js";
import { HookedLayer, system_error } from "./hooked-layer.js";

test("rule 46: hundreds of saves, appends and loads at once have few files open", async () => {
  let most = 0;
  const layer = new HookedLayer(() => {
    most = Math.max(most, layer.opened - layer.closed);
  });
  const ids = Array.from({ length: 400 }, (_, n) => `s${n}`);
  const store = new FileSessionStore(quick_directory(), { durable: false }, layer);
  await Promise.all(ids.map((id) => store.save(id, [message(id)])));
  const loaded = await Promise.all(ids.map((id) => store.load(id)));
  await Promise.all(ids.map((id, n) => store.append(id, [message("more")], { revision: loaded[n]?.revision ?? "" })));
  await Promise.all(ids.map((id) => store.delete(id)));
  expect(most).toBeGreaterThan(20);
  expect(most).toBeLessThan(300);
});

test("rules 40 and 46: many sessions that another program has replaced are rescued at once", async () => {
  const root = quick_directory();
  const layer = new HookedLayer(undefined, { syncs: false });
  const store = new FileSessionStore(root, { durable: false }, layer);
  const ids = Array.from({ length: 90 }, (_, n) => `s${n}`);
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

test("rule 46: drafts, loads with drafts, lists and looks at the file system at once have few files open", async () => {
  let most = 0;
  const layer = new HookedLayer(
    () => {
      most = Math.max(most, layer.opened - layer.closed);
      return new Promise((resolve) => setImmediate(resolve));
    },
    { syncs: false },
  );
  const ids = Array.from({ length: 200 }, (_, n) => `s${n}`);
  const root = quick_directory();
  const store = new FileSessionStore(root, {}, layer);
  await Promise.all(ids.map((id) => store.save(id, [message(id)])));
  const draft = { prompt: { role: "user" as const, id: "p", content: [] }, updated_at: "2024-01-01T00:00:00.000Z" };
  await Promise.all([
    ...ids.map((id) => store.set_draft(id, draft)),
    ...ids.map((id) => store.load(id)),
    ...ids.slice(0, 20).map(() => new FileSessionStore(root, {}, layer).list()),
    ...ids.slice(0, 100).map(() => store.file_system()),
  ]);
  await Promise.all([...ids.map((id) => store.load(id)), ...ids.map((id) => store.set_draft(id, undefined))]);
  await Promise.all([...ids.map((id) => store.set_draft(id, draft)), store.flush()]);
  expect(most).toBeGreaterThan(20);
  expect(most).toBeLessThan(300);
});

test("rule 46: sessions that are appended to again and again keep few files open", async () => {
  let most = 0;
  const layer = new HookedLayer(() => void (most = Math.max(most, layer.opened - layer.closed)), { syncs: false });
  const store = new FileSessionStore(quick_directory(), { durable: false }, layer);
  const ids = Array.from({ length: 200 }, (_, n) => `s${n}`);
  await Promise.all(
    ids.map(async (id) => {
      await store.save(id, [message(id)]);
      let { revision } = (await store.load(id)) ?? { revision: "" };
      for (let n = 0; n < 30; n += 1) {
        ({ revision } = await store.append(id, [message(`${n}`)], { revision: revision ?? "" }));
      }
    }),
  );
  expect(most).toBeGreaterThan(20);
  expect(most).toBeLessThan(150);
});

test("rule 46: a list without descriptors rejects, and takes no session for damaged", async () => {
  const root = quick_directory();
  const layer = new HookedLayer();
  const store = new FileSessionStore(root, {}, layer);
  await store.save("s", [message("one")]);
  let is_first = true;
  layer.hook = ({ name }) => {
    if (name === "open" && is_first) {
      is_first = false;
      throw system_error("EMFILE");
    }
  };
  expect(await outcome_of(store.list())).toBe("storage");
});

test("rules 40 and 46: rescues that were cut short are made again beside changes of the rescued sessions", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root, { durable: false });
  const ids = Array.from({ length: 80 }, (_, n) => `s${n}`);
  const kept = new Map<string, Buffer>();
  for (const id of ids) {
    await store.save(id, []);
    await append(store, [`ours of ${id}`], id);
    publish(root, id, { label: "theirs" }, [message("theirs")]);
    kept.set(id, fs.readFileSync(join(root, `${id}.journal`)));
    await store.update(id, { label: "rescued" });
    fs.writeFileSync(join(root, `${id}.journal`), kept.get(id) ?? ""); // as if the journal had not been set aside yet
    publish(root, id, { label: "theirs" }, [message("theirs")]);
  }
  const rescued = (await store.list()).map(({ id }) => id).filter((id) => !ids.includes(id));
  const all = [...ids, ...rescued];
  expect(all).toHaveLength(2 * ids.length);
  const next = new FileSessionStore(root, { durable: false });
  await Promise.all(all.map((id) => next.update(id, { label: "L" })));
  expect((await next.list()).filter(({ label }) => label === "L")).toHaveLength(2 * ids.length);
});

test("rule 46: saves that look whether their turn's draft is void have few files open", async () => {
  let most = 0;
  const layer = new HookedLayer(undefined, { syncs: false });
  const ids = Array.from({ length: 200 }, (_, n) => `s${n}`);
  const store = new FileSessionStore(quick_directory(), { durable: false }, layer);
  const draft = { prompt: { role: "user" as const, id: "p", content: [] }, updated_at: "2024-01-01T00:00:00.000Z" };
  await Promise.all(ids.map((id) => store.save(id, [])));
  await Promise.all(ids.map((id) => store.set_draft(id, draft)));
  const loaded = await Promise.all(ids.map((id) => store.load(id)));
  layer.hook = ({ name, path }) => {
    most = Math.max(most, layer.opened - layer.closed);
    return name === "file.stat" && path.endsWith(".draft") ? new Promise((go_on) => setTimeout(go_on, 50)) : undefined;
  };
  await Promise.all(ids.map((id, n) => store.append(id, [message("more")], { revision: loaded[n]?.revision ?? "" })));
  expect(most).toBeLessThan(150);
});
