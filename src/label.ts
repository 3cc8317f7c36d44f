import type { Message } from "@simulacra-ai/core";

const MAX_LABEL_UNITS = 60;

/**
 * A label from a text: its trimmed first line, whole up to 60 UTF-16 units, else cut at the last white space, or
 * without one at the last grapheme boundary. Always a prefix of the trimmed text; `undefined` for a blank one.
 */
export function label_from_text(text: string): string | undefined {
  const line = (text.trim().split(/[\n\r\u2028\u2029]/, 1)[0] ?? "").trimEnd();
  if (line === "") {
    return undefined;
  }
  if (line.length <= MAX_LABEL_UNITS) {
    return line;
  }
  for (let at = MAX_LABEL_UNITS; at > 0; at -= 1) {
    if (/\s/.test(line.charAt(at))) {
      return line.slice(0, at).trimEnd();
    }
  }
  return line.slice(0, last_grapheme_boundary(line));
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

/** The label of a session: from the first text of the user that is not blank. */
export function label_from_messages(messages: readonly Readonly<Message>[]): string | undefined {
  for (const message of messages) {
    if (message.role === "user" && Array.isArray(message.content)) {
      for (const content of message.content) {
        const label = content.type === "text" ? label_from_text(String(content.text)) : undefined;
        if (label !== undefined) {
          return label;
        }
      }
    }
  }
  return undefined;
}
