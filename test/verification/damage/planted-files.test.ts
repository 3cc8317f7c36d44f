import { execFileSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { pass_time_until, use_fake_timers } from "../../support/fake-timers.js";
import { message, outcome_of, quick_directory, temporary_directory } from "../../stores/helpers.js";
import { append, texts_in, tree, with_journal } from "../../stores/file/files.js";

async function make_socket(path: string): Promise<void> {
  const server = net.createServer().listen(path);
  await once(server, "listening");
  fs.renameSync(path, `${path}.kept`); // a server that closes removes its socket
  server.close();
  await once(server, "close");
  fs.renameSync(`${path}.kept`, path);
}

const can_make_devices = process.getuid?.() === 0;
const KINDS: [string, (path: string) => unknown, boolean?][] = [
  ["a pipe", (path) => execFileSync("mkfifo", [path])],
  ["a socket", make_socket],
  ["a device", (path) => execFileSync("mknod", [path, "c", "1", "3"]), !can_make_devices],
  ["a device that is not there", (path) => execFileSync("mknod", [path, "c", "250", "77"]), !can_make_devices],
  ["an empty directory", (path) => fs.mkdirSync(path)],
  ["a directory", (path) => (fs.mkdirSync(path), fs.writeFileSync(join(path, "kept"), ""))],
  ["a link to a directory", (path) => fs.symlinkSync(temporary_directory(), path)],
];
const NAMES: Record<string, string[]> = {
  "p-forks": ["fork_link"],
  "p-forks/s.json": ["fork_link"],
  "s.draft": ["corrupt_draft"],
  "s.draft-lock": ["leftover"],
  "s.lock": ["leftover"],
  "s.json": ["corrupt"],
  "s.meta.json": ["corrupt", "two_formats"],
  "s.ndjson.next": ["leftover"],
  "s.journal": ["corrupt"],
  "s.0123456789ab.tmp": ["leftover"],
  "s.0123456789ab.draft.tmp": ["leftover"],
};
const DRAFT = { prompt: { role: "user" as const, content: [] }, updated_at: "2024-01-01T00:00:00.000Z" };

describe.each(KINDS)("%s", (kind, make, is_skipped = false) => {
  const planted = async (name: string) => {
    const root = quick_directory();
    await with_journal(root, { parent_id: "p" });
    await new FileSessionStore(root).save("other", [message("other")], { parent_id: "q" });
    fs.rmSync(join(root, name), { recursive: true, force: true });
    await make(join(root, name));
    return { root, store: new FileSessionStore(root) };
  };

  test.skipIf(is_skipped).each(Object.entries(NAMES))(
    "rule 36.3: in the place of %s is reported, and holds no reader up",
    async (name, codes) => {
      const { root, store } = await planted(name);
      const found = (await store.verify()).map(({ code }) => code).sort();
      expect([...new Set(found)]).toEqual(codes);
      expect((await store.list()).map(({ id }) => id).sort()).toEqual(["other", "s"]);
      expect(await texts_in(root, "other")).toEqual(["other"]);
      expect(await outcome_of(store.load("s"))).toBe(codes.includes("corrupt") ? "corrupt" : "done");
    },
  );

  test.skipIf(is_skipped).each(Object.keys(NAMES).filter((name) => !name.endsWith("lock")))(
    "rule 36.3: in the place of %s stops neither a save nor a draft nor a delete",
    async (name) => {
      const { root, store } = await planted(name);
      expect(await outcome_of(store.set_draft("s", DRAFT))).toBe("done");
      await store.save("s", [message("saved")], { parent_id: "p" });
      await append(store, ["more"]);
      await store.flush();
      expect(await texts_in(root)).toEqual(["saved", "more"]);
      const again = await planted(name);
      expect(await again.store.delete("s")).toBe(true);
      const left = tree(again.root).filter((path) => !path.includes(".corrupt-") && !path.startsWith("p-forks"));
      expect(left).toEqual(["other.json", "q-forks/", "q-forks/other.json"]);
      const kept = tree(again.root).filter((path) => path.endsWith("/kept"));
      expect(kept).toHaveLength(kind === "a directory" ? 1 : 0);
    },
  );

  test.skipIf(is_skipped).each(["s.lock", "s.draft-lock"])(
    "rule 36.3: in the place of %s is waited for, and no longer than a lock",
    async (name) => {
      const { root, store } = await planted(name);
      await store.save("other", [message("other")]); // which reads the directory
      use_fake_timers();
      const saved = outcome_of(name === "s.lock" ? store.save("s", [message("saved")]) : store.set_draft("s", DRAFT));
      expect(await pass_time_until(saved)).toBe("done");
      expect(fs.existsSync(join(root, "other.json"))).toBe(true);
    },
  );
});
