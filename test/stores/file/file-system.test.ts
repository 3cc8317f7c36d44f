import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { outcome_of, temporary_directory } from "../helpers.js";
import { tree } from "./files.js";
import { folding_layer, ignoring_case } from "./folding-layer.js";
import { HookedLayer } from "./hooked-layer.js";
import { FEWEST, LimitedLayer } from "./limited-layer.js";

const EVERYTHING = { lock: "symlink", hard_links: true, directory_sync: true, modes: true, case_sensitive: true };

test("rule 45.6: a directory tells what its file system offers, is made for that, and has nothing else then", async () => {
  const root = join(temporary_directory(), "made", "too");
  const layer = new HookedLayer();
  expect(await new FileSessionStore(root, {}, layer).file_system()).toEqual(EVERYTHING);
  expect(fs.readdirSync(root)).toEqual([]);
  expect(layer.operations.length).toBeLessThan(20);
});

test("rule 45.6: what a file system lacks is told", async () => {
  const root = temporary_directory();
  const features = await new FileSessionStore(root, {}, new LimitedLayer(FEWEST)).file_system();
  expect(features).toEqual({ ...EVERYTHING, lock: "file", hard_links: false, directory_sync: false });
  const layer = folding_layer(root, ignoring_case);
  expect(await new FileSessionStore(root, {}, layer).file_system()).toEqual({ ...EVERYTHING, case_sensitive: false });
  expect(fs.readdirSync(root)).toEqual([]);
});

test("rule 45.6: whichever operation fails, the error is one of the store, and nothing is left", async () => {
  const root = temporary_directory();
  for (let n = 1, count = 1; n <= count; n += 1) {
    const layer = new HookedLayer((operation) => {
      if (operation.n === n) {
        throw Object.assign(new Error("EMFILE"), { code: "EMFILE" });
      }
    });
    const outcome = await outcome_of(new FileSessionStore(root, {}, layer).file_system());
    count = layer.operations.length;
    const is_last = layer.operations[n - 1]?.name === "unlink";
    expect([n, outcome]).toEqual([n, is_last ? "done" : "storage"]);
    fs.readdirSync(root).forEach((name) => is_last && fs.rmSync(join(root, name)));
    expect(tree(root)).toEqual([]);
  }
});

test("rule 45.6: verify() names what a killed process left of that, and no session", async () => {
  const root = temporary_directory();
  const layer = new HookedLayer(({ name }) => {
    if (name === "unlink") {
      throw Object.assign(new Error("EIO"), { code: "EIO" });
    }
  });
  await new FileSessionStore(root, {}, layer).file_system();
  const store = new FileSessionStore(root);
  expect(await store.list()).toEqual([]);
  expect((await store.verify()).map(({ code }) => code)).toEqual(["leftover", "leftover", "leftover"]);
});
