import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loose, message, quick_directory } from "../../stores/helpers.js";
import { append, content, parsed, publish, tree, with_journal } from "../../stores/file/files.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import { expect_recovery, timeless } from "../../stores/file/recovery.js";

/** The id of a process that has been. */
const DEAD = spawnSync(process.execPath, ["--version"]).pid;

const UNSYNCED = { syncs: false };

/** The layer of a process that dies before its nth operation: its locks are those of a process that is gone. */
class DyingLayer extends HookedLayer {
  died!: () => void;
  readonly death = new Promise<void>((resolve) => (this.died = resolve));

  constructor(dies_at: number) {
    super(({ n }) => {
      if (n >= dies_at) {
        this.died();
        return new Promise<never>(() => undefined);
      }
    }, UNSYNCED);
  }

  /** What its locks say, for itself and for everybody else. */
  readonly #own = new Map<string, string>();

  override symlink(target: string, path: string): Promise<void> {
    const seen_by_others = target.replace(/^\d+/, String(DEAD));
    this.#own.set(seen_by_others, target);
    return super.symlink(seen_by_others, path);
  }

  override async readlink(path: string): Promise<string> {
    const target = await super.readlink(path);
    return this.#own.get(target) ?? target;
  }
}

interface Case {
  name: string;
  prepare: (root: string) => Promise<unknown>;
  act: (store: FileSessionStore) => Promise<unknown>;
  format?: FileSessionFormat;
}

const damaged_journal = async (root: string) => {
  await with_journal(root, {}, UNSYNCED);
  const path = join(root, "s.journal");
  fs.writeFileSync(path, fs.readFileSync(path, "utf8").replace("two", "TWO"));
};

/** A lock whose holder died in a save, with its temporary file. */
const dead_lock = async (root: string) => {
  await with_journal(root, {}, UNSYNCED);
  const layer = new DyingLayer(Infinity);
  layer.hook = ({ name }) => {
    if (name === "rename") {
      layer.died();
      return new Promise<never>(() => undefined);
    }
  };
  void new FileSessionStore(root, {}, layer).save("s", []);
  await layer.death;
  await layer.abandon();
  expect(tree(root)).toContain("s.lock@");
};

/** Another program has deleted the session, and knows nothing of its journal. */
const deleted_by_another = async (root: string) => {
  await with_journal(root, {}, UNSYNCED);
  fs.rmSync(join(root, "s.json"));
};

/** Another program has changed the metadata alone. */
const renamed_by_another = async (root: string) => {
  await with_journal(root, {}, UNSYNCED);
  const { metadata, messages } = parsed(root);
  publish(root, "s", { ...metadata, label: "theirs" }, messages);
};

const nothing = async () => undefined;
const root_session = (root: string) => with_journal(root, {}, UNSYNCED);
const fork = (root: string) => with_journal(root, { parent_id: "p" }, UNSYNCED);
const published = async (root: string) =>
  publish(root, "s", { label: "L", created_at: "2024", updated_at: "2024" }, [message("one")]);

const lines = async (root: string) => {
  const store = new FileSessionStore(root, { format: "ndjson", durable: false });
  await store.save("s", [message("one")], { parent_id: "p" });
  await append(store, ["two"]);
};

const save = (store: FileSessionStore) => store.save("s", [message("saved")]);
const more = (store: FileSessionStore) => append(store, ["more"]);
const remove = (store: FileSessionStore) => store.delete("s");

const CASES: Case[] = [
  { name: "a first save of a fork", prepare: nothing, act: (store) => store.save("s", [], { parent_id: "p" }) },
  { name: "a save", prepare: root_session, act: save },
  { name: "an append", prepare: root_session, act: more },
  { name: "an update", prepare: published, act: (store) => store.update("s", { label: "N" }) },
  {
    name: "an append that moves a fork to another parent",
    prepare: fork,
    act: (store) => append(store, ["more"], "s", { parent_id: "q" }),
  },
  {
    name: "a save that moves a fork to another parent",
    prepare: fork,
    act: (store) => store.save("s", [], { parent_id: "q" }),
  },
  {
    name: "an update that detaches a fork",
    prepare: fork,
    act: (store) => store.update("s", loose({ parent_id: null })),
  },
  { name: "a delete", prepare: root_session, act: remove },
  { name: "a delete of a fork", prepare: fork, act: remove },
  { name: "an append to a published file", prepare: published, act: more },
  { name: "a save where only a journal is left", prepare: deleted_by_another, act: save },
  { name: "an append behind a foreign change of metadata", prepare: renamed_by_another, act: more },
  { name: "a save over a damaged journal", prepare: damaged_journal, act: save },
  { name: "an append behind a dead lock", prepare: dead_lock, act: more },
  { name: "a first save in lines", prepare: nothing, act: save, format: "ndjson" },
  { name: "a save in lines", prepare: lines, act: save, format: "ndjson" },
  { name: "a fold in lines", prepare: lines, act: (store) => store.flush("s"), format: "ndjson" },
  { name: "a delete in lines", prepare: lines, act: remove, format: "ndjson" },
];

test.each(CASES)(
  "rule 30: a death before any operation of $name loses nothing and leaves nothing",
  async ({ prepare, act, format = "json" }) => {
    const wrong: string[] = [];
    let allowed: string[] = [];
    for (let n = Infinity, last = 0; n === Infinity || n <= last; n += 1) {
      const root = quick_directory();
      await prepare(root);
      const old = timeless(await content(root));
      const long_lived = new FileSessionStore(root, { format }, new HookedLayer(undefined, UNSYNCED));
      await long_lived.delete("s2"); // now it knows what is in the directory
      const layer = new DyingLayer(n);
      const ended = act(new FileSessionStore(root, { format }, layer)).then(() => "acknowledged");
      const result = await Promise.race([ended, layer.death]);
      await layer.abandon();
      const found = timeless(await content(root));
      if (n === Infinity) {
        expect(result).toBe("acknowledged");
        allowed = [old, found];
        last = layer.operations.length;
        n = 0;
        continue;
      }
      const at = layer.operations[n - 1];
      const where = `${n} ${at?.name} ${at?.path.slice(root.length)}`;
      if (!allowed.includes(found)) {
        wrong.push(`${where}: found ${found}`);
      } else if (found !== "corrupt") {
        await expect_recovery(root, long_lived).catch((error: unknown) => wrong.push(`${where}: ${String(error)}`));
      }
    }
    expect(wrong).toEqual([]);
  },
);

test("rule 31: what a dead writer renamed is synced before whoever takes its lock over renames a file of the session", async () => {
  const root = quick_directory();
  await dead_lock(root);
  const layer = new HookedLayer();
  await append(new FileSessionStore(root, {}, layer), ["next"]);
  const names = layer.operations.map(({ name, path }) => `${name} ${path.slice(root.length)}`);
  const synced = names.findIndex((name) => name.startsWith("sync_directory"));
  expect(synced).toBeGreaterThan(names.indexOf("rename /s.lock"));
  expect(names.indexOf("rename /s.json")).toBeGreaterThan(synced);
});
