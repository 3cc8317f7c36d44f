import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat, type StoredSession } from "@simulacra-ai/session";
import { has_code } from "../../../src/errors.js";
import { texts, user } from "../../support/messages.js";
import type { Cut, Run } from "./cuts.js";
import { lost_histories } from "./histories.js";
import { after, plan, type Expected, type Sessions } from "./plan.js";

export interface Judgement {
  losses: string[];
  /** Sessions that are said to be damaged. */
  damaged: number;
}

const DAMAGED = "damaged";
const ENDINGS: Record<FileSessionFormat, string[]> = { json: [".json"], ndjson: [".meta.json", ".ndjson"] };

/** What is lost on a disk after a power cut, a line each. */
export async function judge(root: string, cut: Cut, run: Run): Promise<Judgement> {
  if (!fs.existsSync(root)) {
    return { losses: run.durable && cut.before.length > 0 ? ["the directory is not there"] : [], damaged: 0 };
  }
  const store = new FileSessionStore(root, { format: run.format });
  const damaged = (await store.list()).filter((session) => session.damaged !== undefined).map(({ id }) => id);
  const losses = run.program === "store" ? await judge_steps(store, cut, run) : await judge_histories(store, cut);
  const failed = (error: unknown) => [`the next writer fails: ${String(error)}`];
  losses.push(...(await judge_next_writer(root, store, run).catch(failed)));
  return { losses, damaged: damaged.length };
}

async function judge_steps(store: FileSessionStore, cut: Cut, { seed, steps, lanes, durable }: Run): Promise<string[]> {
  const losses: string[] = [];
  for (let lane = 0; lane < lanes; lane += 1) {
    const done = (lines: string[]) => lines.filter((line) => line === String(lane)).length;
    const states: Sessions[] = [new Map()];
    for (const step of plan(seed, lane, steps)) {
      states.push(after(states.at(-1) as Sessions, step));
    }
    const least = durable ? done(cut.before) : 0;
    const allowed = states.slice(least, done(cut.after) + 2);
    for (const id of [`a${lane}`, `b${lane}`]) {
      const found = await found_in(store, id);
      const is_right = allowed.some((sessions) => found === text_of(sessions.get(id)));
      if (!is_right) {
        losses.push(`${id} after ${least} of ${steps} steps is ${shortened(found)}`);
      }
    }
  }
  return losses;
}

async function found_in(store: FileSessionStore, id: string): Promise<string> {
  try {
    const session = await store.load(id);
    return text_of(
      session && {
        texts: texts(session.messages) ?? [],
        label: session.metadata.label ?? "",
        parent_id: session.metadata.parent_id ?? null,
      },
    );
  } catch (error) {
    return has_code(error, "corrupt") ? DAMAGED : String(error);
  }
}

function text_of(session: Expected | undefined): string {
  return session ? JSON.stringify([session.label, session.parent_id, ...session.texts]) : "gone";
}

function shortened(found: string): string {
  return found.replace(/x{10,}/g, "…").slice(0, 300);
}

async function judge_histories(store: FileSessionStore, { before, after }: Cut): Promise<string[]> {
  const lines = before.map((line) => line.split(" "));
  const failed = lines.filter(([kind]) => kind === "failed").map((line) => line.join(" "));
  const deleted = new Set(after.map((line) => line.split(" ")).map(([kind, id]) => (kind === "deletes" ? id : "")));
  const saved = lines
    .filter(([id = ""]) => !["failed", "deletes"].includes(id) && !deleted.has(id))
    .map(([id = "", ...words]) => ({ id, words }));
  return [...failed, ...(await lost_histories(store, saved))];
}

/** Whoever writes next goes on from what is there, and leaves the sessions' own files and links, and nothing else. */
async function judge_next_writer(root: string, store: FileSessionStore, { format, durable }: Run): Promise<string[]> {
  const losses: string[] = [];
  const expected: string[] = [];
  for (const { id, damaged, parent_id } of await store.list()) {
    if (damaged !== undefined) {
      await store.save(id, [user("later")]);
    }
    const { messages, revision } = (await store.load(id)) as StoredSession & { revision: string };
    await store.append(id, [user("later")], { revision });
    const now = await store.load(id);
    if (JSON.stringify(now?.messages) !== JSON.stringify([...messages, user("later")])) {
      losses.push(`${id}: what is appended after the cut is not there, or not all before it`);
    }
    if (damaged !== undefined) {
      continue; // its files are kept aside
    }
    expected.push(...ENDINGS[format].map((ending) => `${id}${ending}`));
    if (typeof parent_id === "string") {
      expected.push(`${parent_id}-forks/${id}${ENDINGS[format].at(-1)}`);
    }
  }
  await store.flush();
  const found = fs.readdirSync(root, { recursive: true, encoding: "utf8" });
  const files = found.filter((name) => !fs.lstatSync(join(root, name)).isDirectory());
  const ids = new Set(expected.map((name) => name.replace(/\..*/, "")));
  const of_sessions = files.filter((name) => ids.has(name.replace(/^[^/]*-forks\//, "").replace(/\..*/, "")));
  if (!durable) {
    return losses; // a link may be there before the record that it belongs to
  }
  if (of_sessions.sort().join() !== expected.sort().join()) {
    losses.push(`the next writer leaves ${of_sessions.join()} instead of ${expected.join()}`);
  }
  return losses;
}
