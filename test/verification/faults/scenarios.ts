import type { FileSessionFormat, FileSessionStore } from "@simulacra-ai/session";
import { loaded, message } from "../../stores/helpers.js";
import type { FaultyDevice } from "./device.js";

export const ROOT = "/sessions";

type Act = (store: FileSessionStore, revision: string) => Promise<unknown>;

export interface Scenario {
  name: string;
  /** What is stored before the fault. */
  prepare(store: FileSessionStore, device: FaultyDevice, format: FileSessionFormat): Promise<unknown>;
  /** One after the other, until one fails; each is given the revision before it. */
  acts: Act[];
  /** It changes nothing, and resolves with what there is; or with that and what it could not read. */
  reads?: "content" | "problems";
}

const nothing = async () => undefined;
const save_fork = (store: FileSessionStore) => store.save("s", [message("one")], { parent_id: "p" });

async function append(store: FileSessionStore, ...texts: string[]): Promise<void> {
  const { revision } = await loaded(store);
  await store.append(
    "s",
    texts.map((text) => message(text)),
    { revision },
  );
}

async function journal(store: FileSessionStore): Promise<void> {
  await save_fork(store);
  await append(store, "two");
}

/** Just short of being folded. */
async function long_journal(store: FileSessionStore): Promise<void> {
  await save_fork(store);
  for (const text of ["two", "three", "four"]) {
    await append(store, text.padEnd(20_000, "x"));
  }
}

/** With a message that cannot be read. */
async function damaged(store: FileSessionStore, device: FaultyDevice, format: FileSessionFormat): Promise<void> {
  await store.save("s", [message("one"), message("two")], { parent_id: "p" });
  const path = `${ROOT}/s.${format}`;
  const file = await device.layer.open(path);
  const bytes = Buffer.alloc((await file.stat()).size);
  await file.read(bytes, 0);
  bytes.write("?", bytes.lastIndexOf('"two"'));
  device.layer.place(path, bytes);
}

const add =
  (text: string, metadata = {}): Act =>
  (store, revision) =>
    store.append("s", [message(text)], { revision, metadata });

export const SCENARIOS: readonly Scenario[] = [
  { name: "a first save", prepare: nothing, acts: [save_fork] },
  { name: "a save", prepare: journal, acts: [(store) => store.save("s", [message("saved")], { parent_id: "q" })] },
  {
    name: "a replace",
    prepare: journal,
    acts: [(store, revision) => store.replace("s", [message("replaced")], { revision })],
  },
  { name: "appends", prepare: save_fork, acts: [add("new"), add("newer")] },
  { name: "an append to another parent", prepare: journal, acts: [add("new", { parent_id: "q" })] },
  { name: "an append and the fold behind it", prepare: long_journal, acts: [add("new".padEnd(20_000, "x"))] },
  {
    name: "appends while a fold is under way",
    prepare: long_journal,
    acts: ["five".padEnd(20_000, "x"), "six", "seven", "eight"].map((text) => add(text)),
  },
  {
    name: "a save while a fold is under way",
    prepare: long_journal,
    acts: [add("five".padEnd(20_000, "x")), (store) => store.save("s", [message("saved")], {})],
  },
  { name: "an update", prepare: save_fork, acts: [(store) => store.update("s", { label: "L" })] },
  { name: "an update behind an append", prepare: journal, acts: [(store) => store.update("s", { label: "L" })] },
  { name: "a move to another parent", prepare: save_fork, acts: [(store) => store.update("s", { parent_id: "q" })] },
  { name: "a flush", prepare: journal, acts: [(store) => store.flush("s")] },
  { name: "a flush of all", prepare: long_journal, acts: [(store) => store.flush()] },
  { name: "a delete", prepare: journal, acts: [(store) => store.delete("s")] },
  { name: "a repair", prepare: damaged, acts: [(store) => store.repair("s")] },
  { name: "a save over what is damaged", prepare: damaged, acts: [save_fork] },
  { name: "a load", prepare: journal, acts: [(store) => store.load("s")], reads: "content" },
  { name: "a list", prepare: journal, acts: [(store) => store.list()], reads: "problems" },
  { name: "a verify", prepare: journal, acts: [(store) => store.verify()], reads: "problems" },
];
