import { FileSessionStore } from "../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../src/stores/file/snapshot-form.js";
import { loaded, message } from "../stores/helpers.js";
import type { RecordingLayer } from "./recording-layer.js";

export const ROOT = "/sessions";

export type Step = (store: FileSessionStore, layer: RecordingLayer) => Promise<unknown>;

export interface Scenario {
  name: string;
  steps: Step[];
  format: FileSessionFormat;
}

/** Longer than a block, so that a file can be written in part. */
const long = (name: string) => message(name.padEnd(5000, "."));

const save =
  (name: string, metadata = {}): Step =>
  (store) =>
    store.save("s", [long(name), message(`${name} too`)], metadata);

const append =
  (name: string, metadata = {}): Step =>
  async (store) =>
    store.append("s", [message(name)], { revision: (await loaded(store)).revision, metadata });

const append_long =
  (name: string): Step =>
  async (store) =>
    store.append("s", [long(name)], { revision: (await loaded(store)).revision });

const update =
  (metadata: object): Step =>
  (store) =>
    store.update("s", metadata);

const flush: Step = (store) => store.flush("s");
const remove: Step = (store) => store.delete("s");

const JOURNAL = `${ROOT}/s.journal`;

async function bytes_of(layer: RecordingLayer, path: string): Promise<Buffer> {
  const file = await layer.open(path);
  const buffer = Buffer.alloc((await file.stat()).size);
  await file.read(buffer, 0);
  return buffer;
}

/** Another program rewrites the session as the published package does. */
const rewrite =
  (...names: string[]): Step =>
  async (_, layer) => {
    const metadata = { id: "s", label: "theirs", updated_at: "2030-01-01T00:00:00.000Z", created_at: "2030" };
    const messages = names.map((name) => message(name));
    layer.place(`${ROOT}/s.json`, Buffer.from(JSON.stringify({ metadata, messages }, null, 2)));
  };

const tear_journal: Step = async (_, layer) => {
  const bytes = await bytes_of(layer, JOURNAL);
  layer.place(JOURNAL, bytes.subarray(0, bytes.length - 20));
};

const damage_journal: Step = async (_, layer) => {
  const bytes = await bytes_of(layer, JOURNAL);
  bytes[200] = 0;
  layer.place(JOURNAL, bytes);
};

/** A fold that was killed before it could remove the journal. */
const flush_and_leave_journal: Step = async (store, layer) => {
  const bytes = await bytes_of(layer, JOURNAL);
  await store.flush("s");
  layer.place(JOURNAL, bytes);
};

const save_short =
  (name: string): Step =>
  (store) =>
    store.save("s", [message(name)]);

/** What is done one after another, each step awaited. */
const OURS: Omit<Scenario, "format">[] = [
  { name: "first save", steps: [save("a")] },
  { name: "save over another", steps: [save("a"), save("b", { label: "B" }), save("c")] },
  { name: "append", steps: [save("a"), append("b"), append("c", { model: "M" }), append_long("d"), append("e")] },
  { name: "fold", steps: [save("a"), append("b"), append_long("c"), flush, append("d"), flush] },
  { name: "save over a journal", steps: [save("a"), append("b"), save("c"), append("d")] },
  {
    name: "fork link",
    steps: [
      save("a", { parent_id: "p" }),
      append("b"),
      flush,
      update({ parent_id: "q" }),
      append("c", { parent_id: "p" }),
    ],
  },
  {
    name: "fork among others",
    steps: [
      (store) => store.save("t", [], { parent_id: "p" }),
      save("a", { parent_id: "p" }),
      update({ parent_id: null }),
    ],
  },
  {
    name: "update",
    steps: [save("a"), update({ label: "L" }), append("b"), update({ label: "M" }), update({ label: null })],
  },
  { name: "delete", steps: [save("a", { parent_id: "p" }), append("b"), append("c"), remove, save("d"), remove] },
  { name: "append behind a torn tail", steps: [save("a"), append("b"), append("c"), tear_journal, append_long("d")] },
  {
    name: "append beside a journal that is done with",
    steps: [save("a"), append("b"), flush_and_leave_journal, append("c")],
  },
  { name: "save over a damaged journal", steps: [save("a"), append("b"), append("c"), damage_journal, save("d")] },
];

/** Where another program writes too. */
const THEIRS: Omit<Scenario, "format">[] = [
  {
    name: "write over a rewrite that continues",
    steps: [save_short("a"), append("b"), rewrite("a"), append("c"), flush],
  },
  {
    name: "write over a rewrite that diverges",
    steps: [save_short("a"), append("b"), rewrite("a", "x"), append("c"), save("d")],
  },
];

export const SCENARIOS: Scenario[] = [
  ...[...OURS, ...THEIRS].map((scenario) => ({ ...scenario, format: "json" as const })),
  ...OURS.map((scenario) => ({ ...scenario, format: "ndjson" as const })),
];

/** A session as far as a reader can tell, or what went wrong; `gone`: there is none. */
export async function observe(layer: RecordingLayer): Promise<string> {
  try {
    const session = await new FileSessionStore(ROOT, {}, layer).load("s");
    return session === undefined ? "gone" : JSON.stringify(session);
  } catch (error) {
    return String(error);
  }
}
