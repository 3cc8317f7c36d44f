import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { message, outcome_of, quick_directory, texts_of } from "../../stores/helpers.js";
import { append, texts_in, tree, with_journal } from "../../stores/file/files.js";

interface Files {
  snapshot: Buffer;
  journal: Buffer | undefined;
}

/** A small session: a snapshot, a record for each of two messages, and one for metadata. */
async function original(): Promise<Required<Files>> {
  const root = quick_directory();
  const store = await with_journal(root);
  await store.update("s", { custom: { long: "x".repeat(200) } }); // longer than what is appended behind it
  return { snapshot: fs.readFileSync(join(root, "s.json")), journal: fs.readFileSync(join(root, "s.journal")) };
}

/** What a reader finds in each of these files: the session without its id, `"gone"`, or the code of the error. */
async function read_all(variants: Files[]): Promise<string[]> {
  const root = quick_directory();
  variants.forEach(({ snapshot, journal }, n) => {
    fs.writeFileSync(join(root, `s${n}.json`), snapshot);
    if (journal !== undefined) {
      fs.writeFileSync(join(root, `s${n}.journal`), journal);
    }
  });
  const store = new FileSessionStore(root);
  return Promise.all(
    variants.map(async (_, n) => {
      let found = "gone";
      const outcome = await outcome_of(
        store.load(`s${n}`).then((session) => {
          if (session !== undefined) {
            const { metadata, messages } = session;
            found = JSON.stringify([messages, { ...metadata, id: "s" }]);
          }
        }),
      );
      return outcome === "done" ? found : outcome;
    }),
  );
}

/** Where each record ends, the header first. */
function record_ends(journal: Buffer): number[] {
  return [...journal.toString("latin1").matchAll(/^#.*\n/gm)].map((match) => match.index + match[0].length);
}

/** The session after the first records, for each number of them. */
async function states_of({ snapshot, journal }: Required<Files>): Promise<string[]> {
  const ends = record_ends(journal as Buffer);
  return read_all(ends.map((end) => ({ snapshot, journal: journal?.subarray(0, end) })));
}

test("rule 36: a snapshot that is cut anywhere before its last line feed is corrupt", async () => {
  const { snapshot, journal } = await original();
  for (const beside of [undefined, journal]) {
    const count = Math.ceil((snapshot.length - 1) / 7);
    const cuts = Array.from({ length: count }, (_, n) => snapshot.subarray(0, n * 7));
    const found = await read_all(cuts.map((cut) => ({ snapshot: cut, journal: beside })));
    expect(found).toEqual(Array(cuts.length).fill("corrupt"));
  }
});

test("rule 32: a journal that is cut anywhere counts as far as it is whole", async () => {
  const { snapshot, journal } = await original();
  const [ends, states] = [record_ends(journal as Buffer), await states_of({ snapshot, journal })];
  expect(new Set(states).size).toBe(4);
  const [bare] = await read_all([{ snapshot, journal: undefined }]);
  expect(states[0]).toBe(bare);
  const lengths = Array.from({ length: (journal?.length ?? 0) + 1 }, (_, length) => length);
  const found = await read_all(lengths.map((length) => ({ snapshot, journal: journal?.subarray(0, length) })));
  const expected = lengths.map(
    (length) =>
      states[
        Math.max(
          0,
          ends.findLastIndex((end) => end <= length),
        )
      ],
  );
  expect(found).toEqual(expected);
});

test("rule 32: what is appended behind a cut anywhere is not lost, and listed", async () => {
  const { snapshot, journal } = await original();
  const ends = record_ends(journal as Buffer);
  const root = quick_directory();
  const store = new FileSessionStore(root, { durable: false });
  for (let length = 0; length <= (journal?.length ?? 0); length += 5) {
    fs.writeFileSync(join(root, "s.json"), snapshot);
    fs.writeFileSync(join(root, "s.journal"), journal?.subarray(0, length) ?? "");
    const whole = ["one", "two", "three"].slice(0, Math.max(1, ends.findLastIndex((end) => end <= length) + 1));
    expect((await store.list())[0]?.message_count).toBe(whole.length);
    await append(store, ["new"]);
    const written = fs.readFileSync(join(root, "s.journal"));
    expect(record_ends(written).at(-1)).toBe(written.length);
    await append(store, ["newer"]);
    expect(await texts_in(root)).toEqual([...whole, "new", "newer"]);
    if (length % 55 === 0) {
      await store.flush();
      expect(await texts_in(root)).toEqual([...whole, "new", "newer"]);
      expect(tree(root)).toEqual(["s.json"]);
    }
  }
});

/** With files on a disk; other patterns, other files and what repair makes of them: the method `damage`. */
describe("every byte flipped", () => {
  const mask = 0x01;

  function flipped(bytes: Buffer): Buffer[] {
    return Array.from(bytes, (_, at) => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ mask;
      return copy;
    });
  }

  /** Where something else was found than is allowed, the first few of it. */
  function wrong(found: string[], bytes: Buffer, allowed: (at: number) => (string | undefined)[]): string[] {
    const all = found.flatMap((result, at) =>
      result === "corrupt" || allowed(at).includes(result)
        ? []
        : [`${bytes.toString("latin1", at - 30, at)} (here) ${bytes.toString("latin1", at, at + 10)}: ${result}`],
    );
    return all.slice(0, 3);
  }

  test("rule 36: of a snapshot beside a journal everything is read, or nothing", async () => {
    const files = await original();
    const states = await states_of(files);
    const { snapshot, journal } = files;
    const found = await read_all(flipped(snapshot).map((bytes) => ({ snapshot: bytes, journal })));
    expect(found.filter((result) => result === "corrupt").length).toBeGreaterThan(snapshot.length / 2);
    expect(wrong(found, snapshot, () => [states.at(-1)])).toEqual([]);
  });

  test("rule 36: of a snapshot alone everything is read, or nothing", async () => {
    const files = await original();
    const [state] = await states_of(files);
    const found = await read_all(flipped(files.snapshot).map((snapshot) => ({ snapshot, journal: undefined })));
    expect(wrong(found, files.snapshot, () => [state])).toEqual([]);
  });

  test("rule 36: of a journal everything is read, or nothing, or all but the last record where that is hit", async () => {
    const files = await original();
    const [states, journal] = [await states_of(files), files.journal as Buffer];
    const last = record_ends(journal).at(-2) ?? 0;
    const found = await read_all(flipped(journal).map((bytes) => ({ snapshot: files.snapshot, journal: bytes })));
    expect(wrong(found, journal, (at) => [states.at(-1), ...(at >= last ? [states.at(-2)] : [])])).toEqual([]);
    expect(found.filter((result) => result === "corrupt").length).toBeGreaterThanOrEqual(last - 10);
  });
});

describe("a journal that holds what does not belong there", () => {
  /** The session that is read is one that there was; if it can be read, what is appended is not lost. */
  async function never_wrong(journal: (bytes: Buffer, other: Buffer) => Buffer, allowed: string[][]): Promise<void> {
    const [files, other] = [await original(), await original()];
    const root = quick_directory();
    fs.writeFileSync(join(root, "s.json"), files.snapshot);
    fs.writeFileSync(join(root, "s.journal"), journal(files.journal as Buffer, other.journal as Buffer));
    const store = new FileSessionStore(root);
    const texts = async () => texts_of((await store.load("s"))?.messages ?? []);
    let found: string[] = [];
    const outcome = await outcome_of(texts().then((result) => (found = result)));
    if (outcome === "corrupt") {
      await store.save("s", [message("saved")]);
      expect(await texts()).toEqual(["saved"]);
      return;
    }
    expect(outcome).toBe("done");
    expect(allowed).toContainEqual(found);
    await append(store, ["new"]);
    await store.flush();
    expect(await texts()).toEqual([...found, "new"]);
  }

  const all = ["one", "two", "three"];

  test.each<[string, (bytes: Buffer, other: Buffer) => Buffer, string[][]]>([
    ["nothing", () => Buffer.alloc(0), [["one"]]],
    ["zeros", (bytes) => Buffer.alloc(bytes.length), [["one"]]],
    ["zeros behind it", (bytes) => Buffer.concat([bytes, Buffer.alloc(5000)]), [all]],
    ["noise behind it", (bytes) => Buffer.concat([bytes, Buffer.from("\n#\n#{}\n}]")]), [all]],
    ["noise", () => Buffer.from("\n#0123456789abcdef 5 {}\n#"), [["one"]]],
    ["its last record twice", (bytes) => Buffer.concat([bytes, bytes.subarray(record_ends(bytes).at(-2))]), [all]],
    ["itself twice", (bytes) => Buffer.concat([bytes, bytes]), [all]],
    ["its records in another order", swapped, [all]],
    ["another session's journal", (_, other) => other, [["one"]]],
    ["another session's journal behind it", (bytes, other) => Buffer.concat([bytes, other]), [all]],
    [
      "another session's last record",
      (bytes, other) => Buffer.concat([bytes, other.subarray(record_ends(other).at(-2))]),
      [all],
    ],
  ])("rule 36: %s", (_, journal, allowed) => never_wrong(journal, allowed));

  function swapped(bytes: Buffer): Buffer {
    const [header = 0, first = 0] = record_ends(bytes);
    return Buffer.concat([bytes.subarray(0, header), bytes.subarray(first), bytes.subarray(header, first)]);
  }
});

test("rule 36: a last record that was damaged is kept aside before the next write cuts it off", async () => {
  const { snapshot, journal } = await original();
  const [begin = 0, end = 0] = record_ends(journal as Buffer).slice(-2);
  const mark = (journal as Buffer).lastIndexOf("#");
  for (let at = begin; at < end - 1; at += 1) {
    const damaged = Buffer.from(journal as Buffer);
    damaged[at] = (damaged[at] as number) ^ 1;
    const root = quick_directory();
    fs.writeFileSync(join(root, "s.json"), snapshot);
    fs.writeFileSync(join(root, "s.journal"), damaged);
    const store = new FileSessionStore(root);
    expect((await store.verify()).map(({ code }) => code)).toEqual(["torn_journal"]);
    await (at % 2 === 0 ? append(store, ["next"]) : store.update("s", { label: "next" }));
    await store.flush("s");
    const kept = fs.readdirSync(root).filter((name) => name.includes(".corrupt-"));
    if (at !== mark) {
      expect(kept, `byte ${at}`).toHaveLength(1);
      expect(fs.readFileSync(join(root, kept[0] ?? ""))).toEqual(damaged);
    }
  }
});
