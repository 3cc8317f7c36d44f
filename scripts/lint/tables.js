const FENCE = /^ {0,3}(```|~~~)/;
const MAX_WIDTH = 140;

/** Finds the lines of tables that are too long, outside of blocks of code. */
export function too_wide(markdown) {
  let is_code = false;
  return markdown.split("\n").flatMap((text, at) => {
    is_code = FENCE.test(text) ? !is_code : is_code;
    return !is_code && /^\s*\|/.test(text) && text.length > MAX_WIDTH ? [{ line: at + 1, width: text.length }] : [];
  });
}
