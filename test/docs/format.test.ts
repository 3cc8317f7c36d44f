import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { quick_directory } from "../stores/helpers.js";
import { markdown_parts, project_file } from "./markdown.js";

/** Every text that is another one each time. */
const VALUES = /"(id|created_at|updated_at|generation|revision|messages|head)":"[^"]*"/g;

test.each([
  ["json", "s.json"],
  ["ndjson", "s.meta.json"],
] as const)(
  "rule 30: docs/format.md shows a snapshot (%s) in the very lines that the store writes",
  async (format, name) => {
    const root = quick_directory();
    await new FileSessionStore(root, { format }).save("s", [
      { role: "user", content: [] },
      { role: "assistant", content: [] },
    ]);
    const written = fs.readFileSync(join(root, name), "utf8").replaceAll(VALUES, '"$1":"…"');
    const blocks = markdown_parts(project_file("docs/format.md")).filter(({ language }) => language === "json");
    expect(blocks.map(({ lines }) => `${lines.join("\n")}\n`)).toContain(written);
  },
);
