import { FileSessionStore, SessionError, type FileSessionFormat } from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import { loaded, message, outcome_of } from "../../stores/helpers.js";
import { after_pause, at_rest } from "../../support/at-rest.js";
import type { MemoryDisk } from "../crash-states/memory-disk.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import { FaultyDevice } from "./device.js";
import { arm, type Extent, type Fault } from "./kinds.js";
import { ROOT, type Scenario } from "./scenarios.js";

/**
 * What is done when nothing fails any more. Another process knows nothing of a change that failed, nor of the link that
 * this was about to remove.
 */
export const SEQUELS = ["append", "save", "append of another process"] as const;

export interface Round {
  scenario: Scenario;
  format: FileSessionFormat;
  fault: Fault;
  n: number;
  extent: Extent;
  sequel: (typeof SEQUELS)[number];
}

/** What a scenario makes of a session where nothing fails, and the operations that it takes. */
export interface Course {
  /** Before the first act and after each: what any reader finds. */
  states: string[];
  /** What each act resolves with. */
  results: string[];
  operations: string[];
}

interface Prepared {
  device: FaultyDevice;
  layer: HookedLayer;
  store: FileSessionStore;
  revision: string;
}

async function prepare({ scenario, format }: Pick<Round, "scenario" | "format">): Promise<Prepared> {
  const device = new FaultyDevice();
  const layer = new HookedLayer(undefined, { inner: device.layer });
  const store = new FileSessionStore(ROOT, { format }, layer);
  await store.save("bystander", [message("other")], { parent_id: "p" });
  await scenario.prepare(store, device, format);
  const revision = await store.load("s").then(
    (session) => session?.revision ?? "",
    () => "",
  );
  layer.forget();
  return { device, layer, store, revision };
}

/** Runs the acts until one fails. Returns what they resolve with, and why one did not. */
async function act(
  { scenario }: Pick<Round, "scenario">,
  { store, revision: first }: Prepared,
  each: () => Promise<unknown>,
): Promise<{ results: string[]; error?: Error }> {
  const results: string[] = [];
  let revision = first;
  try {
    for (const step of scenario.acts) {
      const result = await step(store, revision);
      revision = (result as { revision?: string } | undefined)?.revision ?? revision;
      results.push(timeless(JSON.stringify(result)));
      await each();
    }
    return { results };
  } catch (error) {
    return { results, error: error instanceof Error ? error : new Error(`it throws ${typeof error}`) };
  }
}

export async function undisturbed(of: Pick<Round, "scenario" | "format">): Promise<Course> {
  const prepared = await prepare(of);
  const { device, layer } = prepared;
  const states = [await observe(device.layer.disk)];
  const { results, error } = await act(of, prepared, async () => states.push(await observe(device.layer.disk)));
  if (error !== undefined) {
    throw new Error(`${of.scenario.name} fails by itself`, { cause: error });
  }
  await quiet(layer);
  return { states, results, operations: layer.names_of_operations() };
}

/** What goes wrong beyond the fault itself, a line each; `undefined` where the fault did not happen. */
export async function disturbed(round: Round, { states, results }: Course): Promise<string[] | undefined> {
  const wrong: string[] = [];
  const prepared = await prepare(round);
  const { device, layer, store } = prepared;
  const struck = arm(layer, device, round);
  const { results: found, error } = await act(round, prepared, async () => undefined);
  await quiet(layer);
  layer.hook = () => undefined;
  const where = struck();
  if (where === undefined) {
    return undefined;
  }
  for (const [n, result] of found.entries()) {
    const is_right = result === results[n] || (round.scenario.reads === "problems" && result.includes(": injected"));
    wrong.push(...(is_right ? [] : [`it resolves with ${shortened(result)}`]));
  }
  const is_storage_error = error instanceof SessionError && error.code === "storage" && error.cause instanceof Error;
  if (error !== undefined && !is_storage_error) {
    wrong.push(
      `it rejects with ${String(error)}${error instanceof Error ? `, because of ${String(error.cause)}` : ""}`,
    );
  }
  const allowed = states.slice(found.length, found.length + (error === undefined ? 1 : 2));
  const check = async (disk: MemoryDisk, where: string) => {
    const now = await observe(disk);
    if (!allowed.includes(now)) {
      wrong.push(`after ${found.length} acknowledgements and ${String(error)}, ${where} is ${shortened(now)}`);
    }
  };
  await check(device.layer.disk, "there");
  await check(device.after_power_cut(), "after a power cut");
  wrong.push(...open_files(layer), ...(await go_on({ device, layer, store }, round)));
  return wrong.map((what) => `${where}: ${what}`);
}

function shortened(found: string): string {
  return found.replace(/x{10,}/g, "…").slice(0, 400);
}

/** The next write after the fault is whole, on the device, and leaves nothing lying about. */
async function go_on(
  { device, layer, store }: Pick<Prepared, "device" | "layer" | "store">,
  { format, sequel }: Round,
): Promise<string[]> {
  give_up_waiting(layer);
  const writer = sequel === "append of another process" ? new FileSessionStore(ROOT, { format }, layer) : store;
  const before = await writer.load("s").catch(() => undefined);
  const is_new = before === undefined || sequel === "save";
  const next = message("next");
  const outcome = await outcome_of(
    is_new
      ? writer.save("s", [next], { parent_id: "r" })
      : writer.append("s", [next], { revision: before.revision ?? "" }),
  );
  if (outcome !== "done") {
    return [`the next ${sequel}: ${outcome}`];
  }
  const wrong: string[] = [];
  const expected = JSON.stringify([...(is_new ? [] : before.messages), next]);
  for (const [disk, where] of [
    [device.layer.disk, "there"],
    [device.after_power_cut(), "after a power cut"],
  ] as const) {
    const messages = await messages_on(disk);
    if (JSON.stringify(messages) !== expected) {
      wrong.push(`the next ${sequel} is acknowledged, and ${where} is ${shortened(JSON.stringify(messages))}`);
    }
  }
  const flushed = await outcome_of(writer.flush());
  const { parent_id } = (await loaded(writer)).metadata;
  const names = (await names_on(device)).filter((name) => !/\.corrupt-/.test(name));
  const endings = { json: [".json"], ndjson: [".meta.json", ".ndjson"] }[format];
  const own = (id: string, parent?: string) => [
    ...endings.map((ending) => `${id}${ending}`),
    ...(parent === undefined ? [] : [`${parent}-forks/${id}${endings.at(-1)}`]),
  ];
  const rest = [...own("bystander", "p"), ...own("s", parent_id)].sort();
  const others = names.filter((name) => !rest.includes(name) && !(sequel === SEQUELS[2] && name.includes("-forks/s.")));
  if (flushed !== "done" || others.length > 0 || !rest.every((name) => names.includes(name))) {
    wrong.push(`the flush after the next ${sequel} (${flushed}) leaves ${names.join()}`);
  }
  return [...wrong, ...open_files(layer)];
}

/** Whoever waits for a lock that nobody holds would do so for ten seconds. */
export function give_up_waiting(layer: HookedLayer): void {
  let attempts = 0;
  layer.hook = ({ name }) => {
    attempts += name === "symlink" ? 1 : 0;
    if (attempts > 12) {
      throw new Error("it waits for a lock that nobody holds");
    }
  };
}

export function open_files({ opened, closed }: HookedLayer): string[] {
  return opened === closed ? [] : [`${opened - closed} files are still open`];
}

/** Until nothing is asked of the layer any more: what goes on in the background has ended. */
export async function quiet(layer: HookedLayer): Promise<void> {
  await after_pause();
  await at_rest(() => layer.operations.length);
}

/** Both sessions as any reader finds them, but for what the clock and chance decide. */
async function observe(disk: MemoryDisk): Promise<string> {
  const store = new FileSessionStore(ROOT, {}, new RecordingLayer(disk));
  const sessions = ["s", "bystander"].map((id) =>
    store.load(id).then(
      (session) => JSON.stringify(session ?? "gone"),
      (error: unknown) => String(error),
    ),
  );
  return timeless((await Promise.all(sessions)).join("\n"));
}

async function messages_on(disk: MemoryDisk): Promise<Message[] | string> {
  return new FileSessionStore(ROOT, {}, new RecordingLayer(disk)).load("s").then(
    (session) => session?.messages ?? "gone",
    (error: unknown) => String(error),
  );
}

async function names_on({ layer }: FaultyDevice): Promise<string[]> {
  const names: string[] = [];
  for (const name of await layer.names(ROOT)) {
    const is_directory = (await layer.stat(`${ROOT}/${name}`))?.kind === "directory";
    names.push(...(is_directory ? (await layer.names(`${ROOT}/${name}`)).map((inner) => `${name}/${inner}`) : [name]));
  }
  return names.sort();
}

function timeless(found: string | undefined): string {
  return (found ?? "")
    .replace(/"(created_at|updated_at|revision)":"[^"]*"/g, '"$1":""')
    .replace(/\.corrupt-[^"]*/g, "");
}
