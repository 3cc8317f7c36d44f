import type { FileSessionStoreOptions } from "../../../src/stores/file/file-session-store.js";
import { user } from "../../support/messages.js";
import { ROOT } from "./contents.js";
import { DRAFTS } from "./draft-scenarios.js";
import { COMPACTIONS } from "./compaction-scenarios.js";
import { MANAGED } from "./manager-scenarios.js";
import { record, type Recording, type Scenario, type Step } from "./record.js";
import type { RecordingLayer } from "./recording-layer.js";
import { append, append_long, flush, remove, replace, save, save_short, update } from "./steps.js";

export { ROOT };

const JOURNAL = `${ROOT}/s.journal`;

async function bytes_of(layer: RecordingLayer, path: string): Promise<Buffer> {
  const node = layer.disk.node_at(path);
  if (node?.kind !== "file") {
    throw new Error(`there is no file ${path}`);
  }
  return Buffer.from(node.data);
}

/** Another program puts a changed file in the place of one of ours, in one step. */
const change_file =
  (change: (bytes: Buffer) => Buffer, path = JOURNAL): Step =>
  async ({ layer, by_others }) => {
    by_others();
    layer.place(path, change(await bytes_of(layer, path)));
  };

const tear_journal = change_file((bytes) => bytes.subarray(0, bytes.length - 20));

const damage = (path?: string) =>
  change_file((bytes) => {
    bytes[200] = 0;
    return bytes;
  }, path);

/** Flips a byte in the last of the messages. */
const damage_messages: Step = (world) => {
  const data = ["s.ndjson", "s.json"].find((name) => world.layer.disk.node_at(`${ROOT}/${name}`) !== undefined);
  const flip = (bytes: Buffer) => {
    bytes[bytes.lastIndexOf(" too")] = 0;
    return bytes;
  };
  return change_file(flip, `${ROOT}/${data}`)(world);
};

/** A fold that was killed before it could remove the journal. */
const flush_and_leave_journal: Step = async (world) => {
  const bytes = await bytes_of(world.layer, JOURNAL);
  await flush(world);
  world.layer.place(JOURNAL, bytes);
};

/** Another program rewrites the session as the published package does. */
const rewrite =
  (...names: string[]): Step =>
  async ({ layer, by_others }) => {
    by_others();
    const metadata = { id: "s", label: "theirs", updated_at: "2030-01-01T00:00:00.000Z", created_at: "2030" };
    const messages = names.map((name) => user(name, name));
    layer.place(`${ROOT}/s.json`, Buffer.from(JSON.stringify({ metadata, messages }, null, 2)));
  };

/** Another program changes the metadata, and leaves all else as it is. */
const rewrite_metadata: Step = async ({ layer, by_others }) => {
  by_others();
  const { messages } = JSON.parse((await bytes_of(layer, `${ROOT}/s.json`)).toString()) as { messages: unknown[] };
  const metadata = { id: "s", label: "theirs", updated_at: "2030-01-01T00:00:00.000Z", created_at: "2030" };
  layer.place(`${ROOT}/s.json`, Buffer.from(JSON.stringify({ metadata, messages }, null, 2)));
};

/** A step in which the store itself makes another session, of what another program has left of this one. */
const rescuing =
  (step: Step): Step =>
  (world) => {
    world.by_others();
    return step(world);
  };

const repair: Step = ({ store }) => store.repair("s");

const steps = (...list: Step[]) => ({ steps: () => list });

/** What a user of the store asks for. */
const OURS: Scenario[] = [
  { name: "first save", ...steps(save("a")) },
  { name: "save", ...steps(save("a"), save("b", { label: "B" }), save("c")) },
  { name: "replace", ...steps(save("a"), append("b"), replace("c"), replace("d", { label: "D" })) },
  { name: "append", ...steps(save("a"), append("b"), append("c", { model: "M" }), append_long("d"), append("e")) },
  { name: "fold", ...steps(save("a"), append("b"), append_long("c"), flush, append("d"), flush) },
  { name: "save over a journal", ...steps(save("a"), append("b"), save("c"), append("d")) },
  {
    name: "fork",
    ...steps(
      save("a", { parent_id: "p" }),
      append("b"),
      flush,
      update({ parent_id: "q" }),
      append("c", { parent_id: "p" }),
    ),
  },
  {
    name: "fork among others",
    ...steps(
      ({ store }) => store.save("t", [], { parent_id: "p" }),
      save("a", { parent_id: "p" }),
      update({ parent_id: null }),
    ),
  },
  {
    name: "rename",
    ...steps(save("a"), update({ label: "L" }), append("b"), update({ label: "M" }), update({ label: null })),
  },
  { name: "delete", ...steps(save("a", { parent_id: "p" }), append("b"), append("c"), remove, save("d"), remove) },
  { name: "append behind a torn tail", ...steps(save("a"), append("b"), append("c"), tear_journal, append_long("d")) },
  {
    name: "append beside a journal that is done with",
    ...steps(save("a"), append("b"), flush_and_leave_journal, append("c")),
  },
  {
    name: "save over a journal that is done with",
    ...steps(save("a"), append("b"), flush_and_leave_journal, save("c")),
  },
  {
    name: "save over a damaged journal",
    ...steps(save("a"), append("b"), append("c"), damage(), save("d")),
    durable_only: true,
  },
  {
    name: "repair of a journal",
    ...steps(save("a", { parent_id: "p" }), append("b"), append("c"), damage(), repair, append("d")),
    durable_only: true,
  },
  { name: "repair of a snapshot", ...steps(save("a"), append("b"), damage_messages, repair, append("c")) },
];

/** Where another program writes too. */
const THEIRS: Scenario[] = [
  { name: "a rewrite that continues", ...steps(save_short("a"), append("b"), rewrite("a"), append("c"), flush) },
  { name: "a rewrite of metadata", ...steps(save_short("a"), append("b"), rewrite_metadata, append("c"), flush) },
  {
    name: "a rewrite that diverges",
    ...steps(save_short("a"), append("ours"), rewrite("a", "x"), rescuing(append("c")), save("d")),
    keeps: ["ours"],
  },
].map((scenario) => ({ ...scenario, json_only: true }));

export const SCENARIOS: Scenario[] = [...OURS, ...COMPACTIONS, ...DRAFTS, ...MANAGED, ...THEIRS];

export const FORMATS = ["json", "ndjson"] as const;

/** Every scenario in every format, as a list of what has yet to be recorded. */
export function recordings(durable = true): { name: string; scenario: Scenario; options: FileSessionStoreOptions }[] {
  return FORMATS.flatMap((format) =>
    SCENARIOS.filter(({ json_only }) => format === "json" || !json_only)
      .filter(({ durable_only }) => durable || !durable_only)
      .map((scenario) => ({
        name: `${scenario.name}, ${format}`,
        scenario,
        options: { format, durable },
      })),
  );
}

const known = new Map<string, Promise<Recording>>();

/** A scenario is gone through once. */
export function recorded({ name, scenario, options }: ReturnType<typeof recordings>[number]): Promise<Recording> {
  const key = `${name} ${String(options.durable)}`;
  const recording = known.get(key) ?? record(scenario, options);
  known.set(key, recording);
  return recording;
}
