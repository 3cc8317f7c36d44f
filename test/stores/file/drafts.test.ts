import fs from "node:fs";
import { join } from "node:path";
import type { UserMessage } from "@simulacra-ai/core";
import { FileSessionStore, type SessionDraft } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loaded, message, outcome_of, temporary_directory } from "../helpers.js";
import { tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

function draft(text: string): SessionDraft {
  return { prompt: message(text) as UserMessage, updated_at: "2026-01-02T03:04:05.678Z" };
}

test("rule 26: no draft outlives the deletion of its session, whichever is asked for first", async () => {
  const root = temporary_directory();
  const [here, elsewhere] = [new FileSessionStore(root), new FileSessionStore(root)];
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const id = `s${attempt}`;
    const writer = attempt % 2 === 0 ? here : elsewhere;
    await here.save(id, []);
    await writer.set_draft(id, draft("one"));
    const set = outcome_of(writer.set_draft(id, draft("two")));
    const deleted = outcome_of(here.delete(id));
    expect(["done", "not_found"]).toContain(await set);
    expect(await deleted).toBe("done");
  }
  expect(tree(root)).toEqual([]);
});

test.each(["symlink", "create", "rename"])(
  "rule 26: a draft that is written while its session is deleted goes with it (%s)",
  async (operation) => {
    const root = temporary_directory();
    const store = new FileSessionStore(root);
    await store.save("s", []);
    await store.set_draft("s", draft("one"));
    let go_on = (): void => undefined;
    let reached = (): void => undefined;
    const held = new Promise<void>((resolve) => (reached = resolve));
    const layer = new HookedLayer(({ name, path }) => {
      if (name === operation && path.includes("draft")) {
        reached();
        return new Promise<void>((resolve) => (go_on = resolve));
      }
    });
    const set = outcome_of(new FileSessionStore(root, {}, layer).set_draft("s", draft("two")));
    await held;
    layer.hook = () => undefined;
    const deleted = store.delete("s");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(fs.existsSync(join(root, "s.json"))).toBe(operation !== "symlink"); // waits for whoever has the draft's lock
    go_on();
    expect(["done", "not_found"]).toContain(await set);
    expect(await deleted).toBe(true);
    expect(tree(root)).toEqual([]);
  },
);

test("rule 44: a draft's lock that is taken over costs no other session its files", async () => {
  const root = temporary_directory();
  let go_on = (): void => undefined;
  let reached = (): void => undefined;
  const held = new Promise<void>((resolve) => (reached = resolve));
  let target = "";
  class SpyLayer extends HookedLayer {
    override symlink(to: string, path: string): Promise<void> {
      target = to;
      return super.symlink(to, path);
    }
  }
  const layer = new SpyLayer();
  const slow = new FileSessionStore(root, {}, layer);
  await slow.save("s.draft", []);
  const store = new FileSessionStore(root);
  await store.save("s", []);
  layer.hook = ({ name, path }) => {
    if (name === "rename" && path.endsWith("s.draft.json")) {
      reached();
      return new Promise<void>((resolve) => (go_on = resolve));
    }
  };
  const saved = outcome_of(slow.save("s.draft", [message("one")]));
  await held;
  layer.hook = () => undefined;
  fs.symlinkSync(target.replace(/[^.]*$/, "0123456789ab"), join(root, "s.draft-lock")); // of nobody
  await store.set_draft("s", draft("two"));
  go_on();
  expect(await saved).toBe("done");
  expect((await loaded(store, "s.draft")).messages).toHaveLength(1);
});

test("rule 26: a draft that is not UTF-8 is none, and verify names it", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  await store.save("s", []);
  await store.set_draft("s", draft("grün"));
  const path = join(root, "s.draft");
  const bytes = fs.readFileSync(path);
  bytes[bytes.indexOf("ü") + 1] = 0x41;
  fs.writeFileSync(path, bytes);
  expect((await loaded(new FileSessionStore(root))).draft).toBeUndefined();
  expect((await store.verify()).map(({ code }) => code)).toEqual(["corrupt_draft"]);
});

test.each<[string, (store: FileSessionStore) => Promise<unknown>]>([
  ["flush", (store) => store.flush("s")],
  ["save", (store) => store.save("s", [message("other")])],
])("rule 26: a draft that is written while a %s judges the one before stays", async (_, change) => {
  const root = temporary_directory();
  const writer = new FileSessionStore(root);
  await writer.save("s", [message("one")]);
  await writer.set_draft("s", draft("one")); // behind its turn, so that it is void
  const layer = new HookedLayer();
  const store = new FileSessionStore(root, {}, layer);
  await store.update("s", { label: "L" }); // what the store does at its first change is done
  await store.flush("s");
  await writer.set_draft("s", draft("one"));
  let is_read = false;
  layer.hook = async ({ name, path }) => {
    if (is_read && name === "open" && path.endsWith("s.json")) {
      is_read = false;
      await writer.set_draft("s", draft("two"));
    }
    is_read ||= name === "open" && path.endsWith("s.draft");
  };
  await change(store);
  expect((await loaded(writer)).draft).toEqual(draft("two"));
});
