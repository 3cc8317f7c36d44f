import { readFileSync } from "node:fs";

/** A fenced block of code, or the text between two of them. */
export interface MarkdownPart {
  /** The language of a block, `""` where it has none; `undefined` for text. */
  language: string | undefined;
  /** The number of the part's first line, from 1. */
  line: number;
  lines: string[];
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;

/** Splits a document at its fences; a longer fence holds shorter ones. */
export function markdown_parts(markdown: string): MarkdownPart[] {
  const parts: MarkdownPart[] = [{ language: undefined, line: 1, lines: [] }];
  let open: string | undefined;
  markdown.split(/\r?\n/).forEach((text, index) => {
    const [, fence = "", language = ""] = FENCE.exec(text) ?? [];
    if (open === undefined && fence !== "") {
      open = fence;
      parts.push({ language, line: index + 2, lines: [] });
    } else if (open !== undefined && fence.startsWith(open) && language === "") {
      open = undefined;
      parts.push({ language: undefined, line: index + 2, lines: [] });
    } else {
      parts.at(-1)?.lines.push(text);
    }
  });
  if (open !== undefined) {
    throw new Error(`the block at line ${parts.at(-1)?.line} has no end`);
  }
  return parts;
}

/** The text of a document without its blocks; line numbers stay. */
export function prose(markdown: string): string {
  return markdown_parts(markdown)
    .flatMap(({ language, lines }, index) => [
      ...(index === 0 ? [] : [""]),
      ...lines.map((line) => (language === undefined ? line : "")),
    ])
    .join("\n");
}

export const PROJECT_ROOT = new URL("../../", import.meta.url);

/** @throws where there is no such file. */
export function project_file(path: string): string {
  return readFileSync(new URL(path, PROJECT_ROOT), "utf8");
}
