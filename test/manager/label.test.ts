import { describe, expect, onTestFinished, test, vi } from "vitest";
import { label_from_messages, label_from_text } from "../../src/label.js";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { assistant, turns, user } from "../support/messages.js";
import { metadata_of, open_plain, open_recording, open_session } from "../support/open-session.js";
import { seeded_random } from "../support/random.js";

const FAMILY = "👨‍👩‍👧‍👦"; // 11 units
const FLAG = "🇳🇴"; // 4 units
const A_ACUTE = "a\u0301"; // 2 units

const CASES: [string, string, string | undefined][] = [
  ["nothing", "", undefined],
  ["white space alone", " \t\n\r\n \u00a0\u2003 ", undefined],
  ["a short text", "Hello there", "Hello there"],
  ["white space around", " \n\t Hello there \n ", "Hello there"],
  ["the first line alone", "Hello\nthere", "Hello"],
  ["a line break as on Windows", "Hello \r\nthere", "Hello"],
  ["a carriage return", "Hello\rthere", "Hello"],
  ["a Unicode line separator", "Hello\u2028there", "Hello"],
  ["white space inside", "a  b\u3000c", "a  b\u3000c"],
  ["control characters that are white space", "a\tb\v\fc\u0085d", "a b  c d"],
  ["other control characters", "\u001b[1mHe\u0000llo\u007f \u009bthere\u0007", "[1mHello there"],
  ["control characters alone", "\u0000\u001b\u009f", undefined],
  ["control characters around", "\u0007 \u0000\u0085\nHello\u0000 \u001b\t\u0085", "Hello"],
  ["a first line of control characters", "\u0000\nHello", "Hello"],
  ["a tab at the cut", `${"x".repeat(50)}\t${"y".repeat(20)}`, "x".repeat(50)],
  ["control characters among 60 units", "x\u0000".repeat(61), "x".repeat(60)],
  ["a control character between halves of a pair", `${"x".repeat(58)}\ud83d\u0000\ude00`, `${"x".repeat(58)}😀`],
  ["exactly 60 units", "x".repeat(60), "x".repeat(60)],
  ["61 units in one word", "x".repeat(61), "x".repeat(60)],
  ["60 units, and a line below", `${"x".repeat(60)}\nmore`, "x".repeat(60)],
  ["60 units with white space inside", `${"x".repeat(30)} ${"y".repeat(29)}`, `${"x".repeat(30)} ${"y".repeat(29)}`],
  ["61 units with white space inside", `${"x".repeat(30)} ${"y".repeat(30)}`, "x".repeat(30)],
  ["white space right behind 60 units", `${"x".repeat(60)} y`, "x".repeat(60)],
  ["white space behind 61 units", `${"x".repeat(61)} y`, "x".repeat(60)],
  ["several white spaces at the cut", `${"x".repeat(50)} \t ${"y".repeat(20)}`, "x".repeat(50)],
  ["white space all the way to the cut", `${"x".repeat(5)}${" ".repeat(80)}y`, "x".repeat(5)],
  ["a space that is not ASCII", `${"x".repeat(40)}\u3000${"y".repeat(40)}`, "x".repeat(40)],
  ["an emoji over the limit", `${"x".repeat(59)}😀 and`, "x".repeat(59)],
  ["an emoji up to the limit", `${"x".repeat(58)}😀😀`, `${"x".repeat(58)}😀`],
  ["emoji of several code points", FAMILY.repeat(6), FAMILY.repeat(5)],
  ["such an emoji across the limit", `${"x".repeat(55)}${FAMILY}`, "x".repeat(55)],
  ["flags", FLAG.repeat(16), FLAG.repeat(15)],
  ["a flag across the limit", `xx${FLAG.repeat(15)}`, `xx${FLAG.repeat(14)}`],
  ["combining marks", A_ACUTE.repeat(31), A_ACUTE.repeat(30)],
  ["a combining mark across the limit", `x${A_ACUTE.repeat(30)}`, `x${A_ACUTE.repeat(29)}`],
  ["a script without spaces", "漢".repeat(61), "漢".repeat(60)],
  ["one grapheme longer than a label", `a${"\u0301".repeat(80)}`, `a${"\u0301".repeat(59)}`],
  ["one grapheme of pairs longer than a label", `x\u200d${"\u{e0061}".repeat(40)}`, `x\u200d${"\u{e0061}".repeat(29)}`],
  ["a lone surrogate", `\ud800${"x".repeat(70)}`, `\ud800${"x".repeat(59)}`],
];

describe("the label of a text", () => {
  test.each(CASES)("rule 13: %s", (_what, text, label) => {
    expect(label_from_text(text)).toBe(label);
  });

  test("rule 13: is a prefix of the trimmed text without its control characters, of at most 60 units", () => {
    const random = seeded_random(13);
    const pieces = [" ", "\t", "\n", "\r\n", "\u00a0", "\u2028", "a", "Wort", "漢字", "é", A_ACUTE, "😀", FAMILY, FLAG];
    pieces.push(
      "\u0000",
      "\u001b[0m",
      "\u0085",
      "\ufeff",
      "\u200d",
      "\ufe0f",
      "\ud83d",
      "\udc00",
      "x".repeat(20),
      "\u0301\u0301\u0301",
      "क्षि",
      "\u1100\u1161\u11a8",
    );
    for (let round = 0; round < 5000; round += 1) {
      const length = random.below(40);
      const text = Array.from({ length }, () => random.pick(pieces)).join("");
      const label = label_from_text(text);
      const spaced = text.replaceAll(/[\t\v\f\u0085]/g, " ");
      const trimmed = spaced.replaceAll(/(?![\n\r])\p{Cc}/gu, "").trim();
      const hint = JSON.stringify(text);
      expect(label === undefined, hint).toBe(trimmed === "");
      if (label !== undefined) {
        const line = trimmed.split(/[\n\r\u2028\u2029]/, 1)[0] ?? "";
        expect(trimmed.startsWith(label), hint).toBe(true);
        expect(label, hint).not.toMatch(/\s$|[\n\r\u2028\u2029]/);
        expect(label.length, hint).toBeGreaterThan(0);
        expect(label.length, hint).toBeLessThanOrEqual(60);
        if (line.length <= 60) {
          expect(label, hint).toBe(line.trimEnd());
        } else if (/\s/.test(line.slice(0, 61))) {
          expect(line.slice(label.length), hint).toMatch(/^\s/);
          expect(line.slice(label.length, 61), hint).not.toMatch(/^\s+\S.*\s/s);
        }
      }
    }
  });

  const length = 8_000_000;

  test.each([
    ["one word", "x".repeat(length), "x".repeat(60)],
    ["emoji", FAMILY.repeat(length / 8), FAMILY.repeat(5)],
    ["white space ahead", `${" \n\t".repeat(length / 3)}Hello`, "Hello"],
    ["white space behind", `Hello${" ".repeat(length)}`, "Hello"],
    ["white space inside", `Hello${" ".repeat(length)}there`, "Hello"],
    ["control characters", `Hello${"\u0000".repeat(length)}there`, "Hellothere"],
  ])("rule 13: of a text of 8 MB no more is segmented than a label can need: %s", (_what, text, label) => {
    const segment = vi.spyOn(Intl.Segmenter.prototype, "segment");
    onTestFinished(() => segment.mockRestore());
    expect(label_from_text(text)).toBe(label);
    const segmented = segment.mock.calls.map(([input]) => input.length);
    expect(Math.max(0, ...segmented)).toBeLessThan(200);
  });
});

test("rule 13: messages that are no messages have no label, and harm no other", () => {
  const without_text: unknown = Object.create(null);
  const contents = [undefined, null, 5, "text", {}, [null], [undefined, 5, "text", []], [{ type: "text" }]];
  const texts = [null, 5, {}, without_text, Symbol("text"), ["text"]].map((text) => [{ type: "text", text }]);
  for (const content of [...contents, ...texts]) {
    const broken = { role: "user", content } as never;
    expect(label_from_messages([broken])).toBeUndefined();
    expect(label_from_messages([broken, user("Hello")])).toBe("Hello");
  }
  expect(label_from_messages([null, undefined, 5, user("Hello")] as never)).toBe("Hello");
  const part_behind = { role: "user", content: [null, { type: "text", text: 5 }, { type: "text", text: "Hello" }] };
  expect(label_from_messages([part_behind as never])).toBe("Hello");
});

test("rule 13: the label comes from the first text of the user that is not blank", () => {
  const raw = { type: "raw" as const, model_kind: "m", data: "raw" };
  expect(label_from_messages([])).toBeUndefined();
  expect(label_from_messages([assistant("hi"), user("  "), user("this one"), user("not this")])).toBe("this one");
  expect(label_from_messages([{ role: "user", content: [raw, { type: "text", text: "second part" }] }])).toBe(
    "second part",
  );
  expect(label_from_messages([{ role: "user", content: [raw] }])).toBeUndefined();
  expect(label_from_messages([{ role: "user" } as never, user("after a broken one")])).toBe("after a broken one");
});

each_backend((backend) => {
  test.each(PROVIDERS)("rule 13: a session is labelled once, by its first turn, with %s", async (_name, provider) => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store, { provider_class: provider });
    const id = manager.start_new();
    await ask(conversation, " Plan the trip \nin detail");
    await ask(conversation, "Something else");
    await manager.flush();
    expect(await metadata_of(store, id)).toMatchObject({ label: "Plan the trip", label_source: "auto" });
    expect(store.writes(id).filter(({ metadata }) => "label" in (metadata ?? {}))).toHaveLength(1);
  });

  test("rule 13: without auto_slug there is no label", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_slug: false });
    const id = manager.start_new();
    conversation.turn("one");
    await manager.save();
    expect(await metadata_of(store, id)).not.toHaveProperty("label");
  });

  test("rule 13: a loaded session keeps the label it has, whoever gave it", async () => {
    const store = await open_recording(backend);
    await store.save("published", turns(1), { label: "from before" });
    const { manager, conversation } = open_plain(store);
    await manager.load("published");
    conversation.turn("not this");
    await manager.save();
    expect((await metadata_of(store, "published")).label).toBe("from before");
  });

  test("rule 13: a loaded session without a label gets one from its first message", async () => {
    const store = await open_recording(backend);
    await store.save("bare", turns(1));
    const { manager, conversation } = open_plain(store);
    await manager.load("bare");
    conversation.turn("not this");
    await manager.flush();
    expect(await metadata_of(store, "bare")).toMatchObject({ label: "question 1", label_source: "auto" });
  });

  test("rule 13: a fork without a label gets one from its own messages, not from those it inherits", async () => {
    const store = await open_recording(backend);
    await store.save("bare", turns(1));
    const { manager, conversation } = open_plain(store);
    const fork = await manager.fork("bare");
    conversation.turn("a way of its own");
    await manager.flush();
    expect((await metadata_of(store, fork)).label).toBe("a way of its own");
  });

  test("rule 13: a label that the user gave, even an empty one, stays", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new("");
    conversation.turn("not this");
    await manager.save({ model: "m" });
    expect(await metadata_of(store, id)).toMatchObject({ label: "", label_source: "user" });
  });
});
