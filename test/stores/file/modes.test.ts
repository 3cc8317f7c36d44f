import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionStoreOptions } from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { message, temporary_directory } from "../helpers.js";
import { append, with_journal } from "./files.js";

const mode_of = (...path: string[]) => (fs.lstatSync(join(...path)).mode & 0o7777).toString(8);

async function filled(root: string, options: FileSessionStoreOptions): Promise<FileSessionStore> {
  const store = new FileSessionStore(root, options);
  await store.save("s", [message("one")], { parent_id: "p" });
  await append(store, ["two"]);
  return store;
}

test.each([
  { options: {}, file: "600", directory: "700" },
  { options: { file_mode: 0o640, directory_mode: 0o750 }, file: "640", directory: "750" },
  { options: { file_mode: 0o666, directory_mode: 0o777 }, file: "666", directory: "777" },
])("rule 38: new files and directories get $file and $directory, whatever the umask", async (expected) => {
  const umask = process.umask(0o027);
  onTestFinished(() => void process.umask(umask));
  const root = join(temporary_directory(), "made", "too");
  const store = await filled(root, expected.options);
  const modes = () => [mode_of(root, "s.json"), mode_of(root, "p-forks", "s.json")];
  expect([...modes(), mode_of(root, "s.journal")]).toEqual([expected.file, expected.file, expected.file]);
  await store.flush();
  expect(modes()).toEqual([expected.file, expected.file]);
  const directories = [join(root, ".."), root, join(root, "p-forks")];
  expect(directories.map((path) => mode_of(path))).toEqual(Array(3).fill(expected.directory));
});

test("rule 38: what exists keeps its mode", async () => {
  const root = temporary_directory();
  fs.chmodSync(root, 0o711);
  fs.mkdirSync(join(root, "p-forks"), { mode: 0o701 });
  const store = await filled(root, {});
  fs.chmodSync(join(root, "s.json"), 0o644);
  fs.chmodSync(join(root, "s.journal"), 0o604);
  await append(store, ["three"]);
  expect([mode_of(root, "s.json"), mode_of(root, "s.journal")]).toEqual(["644", "604"]);
  for (const change of [
    () => store.flush(),
    () => store.save("s", []),
    () => store.update("s", { label: "L" }),
    () => new FileSessionStore(root, { file_mode: 0o400 }).save("s", [message("x")]),
  ]) {
    await change();
    expect([mode_of(root, "s.json"), mode_of(root, "p-forks", "s.json")]).toEqual(["644", "644"]);
  }
  expect([mode_of(root), mode_of(root, "p-forks")]).toEqual(["711", "701"]);
});

test("rule 38: a damaged file that is moved aside keeps its mode", async () => {
  const root = temporary_directory();
  const store = await with_journal(root);
  fs.chmodSync(join(root, "s.json"), 0o640);
  fs.writeFileSync(join(root, "s.json"), "{");
  await store.save("s", []);
  const aside = fs.readdirSync(root).find((name) => name.startsWith("s.json.corrupt-"));
  expect(mode_of(root, aside ?? "nothing aside")).toBe("640");
});
