import { is_storable_id } from "../session-rows.js";

/** The longest id, in UTF-16 code units. */
const MAX_ID_LENGTH = 200;
/** The longest key of an id, in characters: MySQL sorts by no more than 1,024 bytes, which are three a character. */
const MAX_KEY_LENGTH = 340;
/** The longest `updated_at`, in UTF-16 code units. An ISO 8601 date has 24. */
export const MAX_DATE_LENGTH = 100;

/**
 * A text whose order by bytes is the order of the given one by UTF-16 code unit, in every database. Letters, digits and
 * all else from `"` to U+D7FF stand for themselves. Surrogates, which UTF-8 would put behind U+FFFF, and what is above
 * them become characters of their own, in their order. What is below takes two characters: MySQL pads the shorter text
 * with spaces before it compares, so nothing may be as low as a space.
 */
export function to_key(text: string): string {
  return text.replace(/[^"-\ud7ff]/g, (unit) => {
    const code = unit.charCodeAt(0);
    return code < 0x22 ? `!${String.fromCharCode(code + 0x22)}` : String.fromCodePoint(code + 0x800);
  });
}

/** The text of a key. */
export function from_key(key: string): string {
  return key.replace(/!([^])|[^!-\ud7ff]/gu, (character, low?: string) =>
    String.fromCharCode(low === undefined ? (character.codePointAt(0) ?? 0) - 0x800 : low.charCodeAt(0) - 0x22),
  );
}

/** Whether a session may be called that: 200 characters; those up to `!` count two where there are more than 140. */
export function is_id(id: unknown): id is string {
  return is_storable_id(id) && has_key_length(id);
}

/** Whether a text is short enough to be the id of a session. */
export function has_key_length(text: string): boolean {
  return text.length <= MAX_ID_LENGTH && [...to_key(text)].length <= MAX_KEY_LENGTH;
}

/** What {@link is_id} asks for. */
export const ID_RULE = `a text of 1 to ${MAX_ID_LENGTH} characters, no more than 140 of them spaces or "!", without NUL and lone surrogates`;
