import { describe, expect, test } from "vitest";
import { compare_sessions } from "../../../src/metadata.js";
import {
  from_position,
  id_of_key,
  is_id,
  position_of,
  require_prefix,
  session_key,
} from "../../../src/stores/redis/redis-keys.js";
import { seeded_random } from "../../support/random.js";

const UNITS = ["", "\0", " ", "!", '"', "+", "-", "0", "9", ":", "T", "Z", "[", "a", "z", "{", "|", "}", "~", "\x7f"];
const MORE = ["ä", "\ud7ff", "\ud83d\ude00", "\ue000", "\uff5e", "\uffff", "2024-01-01T00:00:00.000Z", "1", "2"];

describe("keys in Redis", () => {
  test("rule 21: the order of the index by bytes is that of the list", () => {
    const random = seeded_random(21);
    const text = () => Array.from({ length: random.below(4) }, () => random.pick([...UNITS, ...MORE])).join("");
    for (let round = 0; round < 5_000; round += 1) {
      const updated_at = text();
      const [a, b] = [
        { updated_at, id: text() },
        { updated_at: random.below(2) === 0 ? updated_at : text(), id: text() },
      ];
      const [first, second] = [a, b].map((one) => Buffer.from(`${position_of(one)} `)) as [Buffer, Buffer];
      expect(Math.sign(Buffer.compare(first, second))).toBe(compare_sessions(a, b));
      expect(from_position(position_of(a))).toEqual(a);
      expect(position_of(a)).toMatch(/^[!-~]*$/);
    }
  });

  test("rule 25: no two pairs of prefix and id have the same key, and the key gives the id back", () => {
    const parts = ["a", "b", ":", "{", "}", "%", "*", "\0", "ä", "\u{1f600}", "}:session"];
    const names = [...parts, ...parts.flatMap((one) => parts.map((other) => one + other))];
    const [known, wrong] = [new Set<string>(), [] as string[]];
    for (const prefix of names.filter((name) => !/[{}\0]/.test(name))) {
      for (const id of names) {
        const key = session_key(prefix, id);
        const tag = key.slice(key.indexOf("{"), key.indexOf("}") + 1);
        if (known.has(key) || id_of_key(prefix, key) !== id || `${tag}:session` !== key) {
          wrong.push(key);
        }
        known.add(key);
      }
    }
    expect(wrong).toEqual([]);
    expect(known.size).toBeGreaterThan(1000);
    expect(id_of_key("a", session_key("a:b", "c"))).toBeUndefined();
    expect(id_of_key("a", "{a:%zz}:session")).toBeUndefined();
  });

  test("rule 25: ids and prefixes that Redis cannot hold, or that would be no tag, are refused", () => {
    const wrong_ids = ["", "\ud800", "a\udc00b", "x".repeat(201), undefined, 1];
    expect(wrong_ids.filter(is_id)).toEqual([]);
    for (const prefix of ["", "a{b", "a}b", "a\nb", "\ud800", "x".repeat(101), 1, null]) {
      expect(() => require_prefix(prefix)).toThrow(expect.objectContaining({ code: "invalid_input" }));
    }
  });
});
