import { createHash } from "node:crypto";
import { FileSessionStore } from "../../src/stores/file/file-session-store.js";
import { loaded, message, seeded } from "../stores/helpers.js";
import { CrashMoment } from "./crash-model.js";
import { type MemoryDisk, ROOT_INODE } from "./memory-disk.js";
import { RecordingLayer } from "./recording-layer.js";
import { observe, ROOT, type Scenario } from "./scenarios.js";

export interface Enumeration {
  /** How many states were looked at, and how many of them differ from each other. */
  states: number;
  distinct: number;
  /** Where a crash leaves what must not be, and what that is. */
  violations: Map<string, string>;
  sync_labels: ReadonlySet<string>;
}

interface Recorded {
  layer: RecordingLayer;
  /** Before the first step and after each: the session, its fork links, and how long the log was. */
  acknowledged: { session: string; links: string; end: number }[];
}

async function record({ steps, format }: Scenario, drops: (label: string) => boolean): Promise<Recorded> {
  const layer = new RecordingLayer(undefined, drops);
  const store = new FileSessionStore(ROOT, { format }, layer);
  const acknowledged: Recorded["acknowledged"] = [{ session: "gone", links: "", end: 0 }];
  for (const step of steps) {
    await step(store, layer);
    acknowledged.push({ session: await observe(layer), links: links_of(layer.disk), end: layer.log.length });
  }
  return { layer, acknowledged };
}

/** Crashes before every operation of a scenario, and after the last one. */
export async function enumerate(
  scenario: Scenario,
  options: { drops?: (label: string) => boolean; stop_at?: (violation: string) => boolean } = {},
): Promise<Enumeration> {
  const { layer, acknowledged } = await record(scenario, options.drops ?? (() => false));
  const random = seeded(1);
  const moment = new CrashMoment();
  const seen = new Map<string, string>();
  const result: Enumeration = { states: 0, distinct: 0, violations: new Map(), sync_labels: layer.sync_labels };
  for (let at = 0; at <= layer.log.length; at += 1) {
    const step = acknowledged.findLastIndex(({ end }) => end <= at);
    const now = acknowledged[step];
    const next = now?.end === at ? undefined : acknowledged[step + 1];
    const where = `${scenario.format}, ${scenario.name}, step ${step + 1}, before ${layer.log[at]?.label ?? "the end"}`;
    for (const disk of moment.states(layer.disk, random)) {
      result.states += 1;
      const links = links_of(disk);
      const key = fingerprint(disk);
      const found =
        seen.get(key) ?? (await (options.drops ? observe(new RecordingLayer(disk)) : judge(disk, scenario.format)));
      seen.set(key, found);
      const links_are_right = next !== undefined || links === now?.links;
      if ((found !== now?.session && found !== next?.session) || !links_are_right) {
        result.violations.set(where, links_are_right ? found.slice(0, 300) : `the links are [${links}]`);
      }
    }
    result.distinct = seen.size;
    if (options.stop_at && [...result.violations.keys()].some(options.stop_at)) {
      return result;
    }
    const entry = layer.log[at];
    if (entry !== undefined) {
      moment.advance(entry);
    }
  }
  return result;
}

/** The fork links that lead to a session's own file. */
function links_of(disk: MemoryDisk): string {
  const inode = disk.directory(ROOT_INODE).entries.get(ROOT.slice(1));
  const entries = inode === undefined ? [] : [...disk.directory(inode).entries];
  const own = new Map(entries);
  const links = entries
    .filter(([name]) => name.endsWith("-forks"))
    .flatMap(([folder, forks]) => [...disk.directory(forks).entries].map(([name, file]) => ({ folder, name, file })));
  return links.map(({ folder, name, file }) => `${folder}/${name}${own.get(name) === file ? "" : " (another)"}`).join();
}

function fingerprint(disk: MemoryDisk): string {
  const hash = createHash("sha1");
  for (const [inode, node] of disk.nodes) {
    const names = node.kind === "directory" ? JSON.stringify([...node.entries]) : "";
    hash.update(`${inode} ${names}\n`).update(node.kind === "file" ? node.data : "");
  }
  return hash.digest("hex");
}

/** What a reader finds, and whether the next writer goes on from there and leaves nothing lying about. */
async function judge(disk: MemoryDisk, format: Scenario["format"]): Promise<string> {
  const layer = new RecordingLayer(disk);
  const found = await observe(layer);
  if (!found.startsWith("{") && found !== "gone") {
    return found;
  }
  const problem =
    (format === "json" ? problem_of_plain_reader(disk, found) : undefined) ??
    (await problem_of_next_writer(layer, found, format));
  return problem === undefined ? found : `${problem}; found ${found}`;
}

/** For a reader that knows nothing of journals: a whole session, of which at most the last messages are missing. */
function problem_of_plain_reader(disk: MemoryDisk, found: string): string | undefined {
  const directory = disk.directory(ROOT_INODE).entries.get(ROOT.slice(1));
  const inode = directory === undefined ? undefined : disk.directory(directory).entries.get("s.json");
  const node = inode === undefined ? undefined : disk.node(inode);
  if (node?.kind !== "file") {
    return found === "gone" ? undefined : "s.json is no file";
  }
  try {
    const value = JSON.parse(node.data.toString()) as { metadata: object; messages: unknown[] };
    const own = JSON.stringify(value.messages).slice(0, -1);
    return found.includes(`"messages":${own}`) ? undefined : `s.json holds ${own.slice(0, 200)}`;
  } catch (error) {
    return `s.json is no JSON: ${String(error)}`;
  }
}

async function problem_of_next_writer(
  layer: RecordingLayer,
  found: string,
  format: Scenario["format"],
): Promise<string | undefined> {
  const store = new FileSessionStore(ROOT, { format }, layer);
  try {
    if (found === "gone") {
      await store.save("s", [message("later")]);
    } else {
      await store.append("s", [message("later")], { revision: (await loaded(store)).revision });
    }
    const { messages } = await loaded(store);
    const before = found === "gone" ? [] : (JSON.parse(found) as { messages: unknown[] }).messages;
    if (JSON.stringify(messages) !== JSON.stringify([...before, message("later")])) {
      return `what is appended after it is lost: ${JSON.stringify(messages)}`;
    }
    await store.flush();
    const names = (await layer.names(ROOT)).filter((name) => /^s\.(?!(json|meta\.json|ndjson)$|.*-\d{8}T)/.test(name));
    return names.length === 0 ? undefined : `the next writer leaves ${names.join()}`;
  } catch (error) {
    return `the next writer fails: ${String(error)}`;
  }
}
