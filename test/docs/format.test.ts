import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { quick_directory } from "../stores/helpers.js";
import { markdown_parts, project_file } from "./markdown.js";

/** Every text that is another one each time. */
const VALUES = /"(id|created_at|updated_at|generation|revision|messages|head)":"[^"]*"/g;

test("rule 30: docs/format.md shows a snapshot in the very lines that the store writes", async () => {
  const root = quick_directory();
  await new FileSessionStore(root).save("s", [
    { role: "user", content: [] },
    { role: "assistant", content: [] },
  ]);
  const written = fs.readFileSync(join(root, "s.json"), "utf8").replaceAll(VALUES, '"$1":"…"');
  const block = markdown_parts(project_file("docs/format.md")).find(({ language }) => language === "json");
  expect(`${block?.lines.join("\n")}\n`).toBe(written);
});
