import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loaded, message, outcome_of, quick_directory } from "../helpers.js";
import { inode, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

type Act = (store: FileSessionStore) => Promise<unknown>;

const save: Act = (store) => store.save("f", [message("one")], { parent_id: "p" });
const remove: Act = (store) => store.delete("other");

/** Each lock covers one session only, and all forks of a parent share one folder. */
test.each<{ name: string; act: Act; meanwhile: Act }>([
  { name: "a fork is saved while the last other one is deleted", act: save, meanwhile: remove },
  { name: "the last fork is deleted while another one is saved", act: remove, meanwhile: save },
])("rule 30: $name, at any moment of it", async ({ act, meanwhile }) => {
  const wrong: string[] = [];
  for (let n = 1, count = 1; n <= count; n += 1) {
    const root = quick_directory();
    const layer = new HookedLayer(undefined, { syncs: false });
    const store = new FileSessionStore(root, {}, layer);
    await store.save("other", [], { parent_id: "p" });
    layer.forget();
    let theirs = "not done";
    layer.hook = async (operation) => {
      if (operation.n === n) {
        theirs = await outcome_of(meanwhile(new FileSessionStore(root)));
      }
    };
    const mine = await outcome_of(act(store));
    count = layer.operations.length;
    const names = tree(root).join();
    const is_right =
      names === "f.json,p-forks/,p-forks/f.json" && inode(root, "f.json") === inode(root, "p-forks/f.json");
    if (mine !== "done" || theirs !== "done" || !is_right) {
      const { name, path } = layer.operations[n - 1] ?? { name: "", path: "" };
      wrong.push(`${n} ${name} ${path.slice(root.length)}: mine ${mine}, theirs ${theirs}, ${names}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("rule 30: forks of one parent come and go at once", async () => {
  const root = quick_directory();
  const stores = [new FileSessionStore(root, { durable: false }), new FileSessionStore(root, { durable: false })];
  const come_and_go = async (store: FileSessionStore, id: string) => {
    for (let round = 0; round < 20; round += 1) {
      await store.save(id, [message(`${round}`)], { parent_id: "p" });
      expect((await loaded(store, id)).messages).toEqual([message(`${round}`)]);
      expect(await store.delete(id)).toBe(true);
    }
  };
  await Promise.all(stores.flatMap((store, n) => ["a", "b", "c"].map((id) => come_and_go(store, `${id}${n}`))));
  expect(tree(root)).toEqual([]);
});

test("rule 30: saving and deleting a session take the same steps, however many have its parent", async () => {
  const steps_among = async (siblings: number) => {
    const layer = new HookedLayer(undefined, { syncs: false });
    const store = new FileSessionStore(quick_directory(), {}, layer);
    for (let n = 0; n <= siblings; n += 1) {
      await store.save(`sibling ${n}`, [], { parent_id: "p" });
    }
    layer.forget();
    await store.save("f", [message("one")], { parent_id: "p" });
    await store.delete("sibling 0");
    await store.delete("f");
    return layer.names_of_operations();
  };
  expect(await steps_among(300)).toEqual(await steps_among(1));
});
