import type { Message } from "@simulacra-ai/core";

const MAX_LABEL_UNITS = 60;
/** Enough of a line to decide where it is cut: every boundary up to the limit depends on the code point behind it at most. */
const DECISIVE_UNITS = MAX_LABEL_UNITS + 2;

/**
 * Returns a label: the trimmed first line of a text without its control characters. A line of more than 60 UTF-16 units is
 * cut at the last white space, or without one at the last grapheme boundary. Returns `undefined` for a blank text.
 */
export function label_from_text(text: string): string | undefined {
  const line = beginning_of_first_line(text);
  if (line === "") {
    return undefined;
  }
  if (line.length <= MAX_LABEL_UNITS) {
    return line;
  }
  const [words] = /^.*\S(?=\s)/.exec(line.slice(0, MAX_LABEL_UNITS + 1)) ?? [];
  return words ?? line.slice(0, last_grapheme_boundary(line));
}

/** Reads no further than a label can need, since the text may have megabytes. */
function beginning_of_first_line(text: string): string {
  const start = text.search(/[^\s\p{Cc}]/u);
  if (start < 0) {
    return "";
  }
  let line = "";
  for (const [character] of text.slice(start).matchAll(/[^\p{Cc}]|[\t\n\v\f\r\u0085]/gu)) {
    if (/[\n\r\u2028\u2029]/.test(character) || line.length >= DECISIVE_UNITS) {
      break;
    }
    line += /[\t\v\f\u0085]/.test(character) ? " " : character;
  }
  return line.trimEnd();
}

function last_grapheme_boundary(line: string): number {
  let boundary = 0;
  for (const { index } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(line)) {
    if (index > MAX_LABEL_UNITS) {
      break;
    }
    boundary = index;
  }
  if (boundary > 0) {
    return boundary;
  }
  // One grapheme longer than a label: the last code point that fits.
  const code = line.charCodeAt(MAX_LABEL_UNITS - 1);
  return code >= 0xd800 && code <= 0xdbff ? MAX_LABEL_UNITS - 1 : MAX_LABEL_UNITS;
}

/** Returns the label of a session that was made of another one: `Plan (fork)`. */
export function derived_label(label: string | null | undefined, suffix: string): DerivedLabel {
  const text = label?.replaceAll(/\p{Cc}/gu, "") ?? "";
  return text === "" ? {} : { label: `${text} (${suffix})`, label_source: "auto" };
}

interface DerivedLabel {
  label?: string;
  label_source?: "auto";
}

/** Returns the label of a session: from the first text of the user that is not blank. Passes over malformed messages. */
export function label_from_messages(messages: readonly Readonly<Message>[]): string | undefined {
  for (const message of messages as readonly ({ role?: unknown; content?: unknown } | null | undefined)[]) {
    if (message?.role === "user" && Array.isArray(message.content)) {
      for (const part of message.content as readonly ({ type?: unknown; text?: unknown } | null | undefined)[]) {
        const label = part?.type === "text" && typeof part.text === "string" ? label_from_text(part.text) : undefined;
        if (label !== undefined) {
          return label;
        }
      }
    }
  }
  return undefined;
}
