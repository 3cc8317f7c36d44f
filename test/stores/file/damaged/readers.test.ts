import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { seeded_random } from "../../../support/random.js";
import { message, quick_directory, texts_of } from "../../helpers.js";
import { HookedLayer } from "../hooked-layer.js";
import { FileSessionStore } from "@simulacra-ai/session";
import { open } from "./files.js";

test("rule 43: a reader that looks at any moment finds the old state or the new one, whole", async () => {
  const root = quick_directory();
  const reader = open(root, "ndjson");
  let states: string[] = [];
  let looks = 0;
  const look = async () => {
    const session = await reader.load("s");
    const [entry] = await reader.list();
    looks += 1;
    expect(states).toContain(session ? texts_of(session.messages).join() : "gone");
    expect(states.map((state) => (state === "gone" ? 0 : state === "" ? 0 : state.split(",").length))).toContain(
      entry?.message_count ?? 0,
    );
    expect(entry?.damaged).toBeUndefined();
  };
  // Between every two steps of the writer, nothing else runs: the reader sees exactly that state.
  const writer = new FileSessionStore(root, { format: "ndjson" }, new HookedLayer(look, { syncs: false }));
  let now: string[] | undefined;
  const to = async (next: string[] | undefined, change: () => Promise<unknown>) => {
    states = [now, next].map((state) => state?.join() ?? "gone");
    await change();
    now = next;
    states = [now?.join() ?? "gone"];
    await look();
  };
  const save = (texts: string[]) =>
    to(texts, () =>
      writer.save(
        "s",
        texts.map((text) => message(text)),
      ),
    );
  const more = async (text: string) => {
    const revision = (await reader.load("s"))?.revision ?? "none";
    await to([...(now ?? []), text], () => writer.append("s", [message(text)], { revision }));
  };
  await save(["a"]);
  await more("b");
  await more("c");
  await to(now, () => writer.flush("s"));
  await more("d");
  await save(["x", "y"]);
  await save([]);
  await more("e");
  await to(now, () => writer.update("s", { label: "L", parent_id: "p" }));
  await to(now, () => writer.flush("s"));
  await to(now, () => writer.update("s", { label: "M" }));
  await to(undefined, () => writer.delete("s"));
  await save(["again"]);
  expect(looks).toBeGreaterThan(100);
});

test("rule 43: a reader that polls while a writer works finds whole states that never go back", async () => {
  const root = quick_directory();
  const { below, pick } = seeded_random(43);
  const writer = open(root, "ndjson", { durable: false });
  const count = 40;
  const state = (n: number, size: number) => Array.from({ length: size }, (_, at) => message(`${n} of ${size} ${at}`));
  await writer.save("s", [message("0 of 1 0")]);
  let done = false;
  const write = async () => {
    for (let n = 1; n <= count; n += 1) {
      const size = 1 + below(20);
      await writer.save("s", state(n, size));
      const revision = (await writer.load("s"))?.revision ?? "none";
      await writer.append("s", [message(`${n} and more`)], { revision });
      if (pick([true, false])) {
        await writer.flush("s");
      }
      await wait(0);
    }
    done = true;
  };
  const read = async () => {
    const reader = open(root, "ndjson");
    let last = 0;
    let polls = 0;
    while (!done) {
      const texts = texts_of((await reader.load("s"))?.messages ?? []);
      const [, n = "none", size] = /^(\d+) of (\d+) 0$/.exec(texts[0] ?? "") ?? [];
      const saved = texts_of(state(Number(n), Number(size)));
      expect([saved, [...saved, `${n} and more`]]).toContainEqual(texts);
      expect(Number(n)).toBeGreaterThanOrEqual(last);
      last = Number(n);
      const [entry] = await reader.list();
      expect(entry?.damaged).toBeUndefined();
      polls += 1;
      await wait(0);
    }
    return polls;
  };
  const [polls] = await Promise.all([read(), write()]);
  expect(polls).toBeGreaterThan(5);
});
