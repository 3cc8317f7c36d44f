import fs from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { message, outcome_of, temporary_directory } from "../helpers.js";
import { texts_in } from "./files.js";

test.each([
  ["a URL", (root: string) => pathToFileURL(root)],
  ["the text of a URL", (root: string) => pathToFileURL(root).href],
])("rule 37.4: the directory may be given as %s", async (_, given) => {
  const root = join(temporary_directory(), "with space");
  await new FileSessionStore(given(root)).save("s", [message("one")]);
  expect(await texts_in(root)).toEqual(["one"]);
});

test.each(["", 5, undefined, null, "~", "~/sessions", new URL("https://example.org/sessions"), "file://host/a%2Fb"])(
  "rule 25: %s is no directory",
  (root) => {
    const open = () => new FileSessionStore(root as string);
    expect(open).toThrow(expect.objectContaining({ code: "invalid_input" }) as Error);
  },
);

test("rule 37.4: a directory whose name is a tilde is one", async () => {
  const before = process.cwd();
  const directory = temporary_directory();
  process.chdir(directory);
  onTestFinished(() => process.chdir(before));
  fs.mkdirSync("~/sessions", { recursive: true });
  expect(await outcome_of(new FileSessionStore("~/sessions").save("s", []))).toBe("done");
  expect(fs.readdirSync(join(directory, "~", "sessions"))).toEqual(["s.json"]);
});
