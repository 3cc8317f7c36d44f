import { timers } from "../../async/timers.js";
import type { SessionStore } from "../../types.js";
import type { ConformanceCase, ConformanceKills } from "../types.js";
import { check, seeded } from "../check.js";

const group = "kills";
const DEFAULT_ROUNDS = 20;
const SESSIONS = 3;
const MAX_MS = 400;

/**
 * Writes turns into a few sessions until the process is killed, and says each on the standard output when it is
 * acknowledged. `ready` comes first, so that loading the module is not part of what is interrupted.
 */
const PROGRAM = `
import process from "node:process";
const [module_url, place, count] = process.argv.slice(2);
const { open } = await import(module_url);
const store = await open(place);
const say = (...words) => process.stdout.write(words.join(" ") + "\\n");
const message = (id, n) => ({ role: "user", id: id + " " + n, timestamp: n, content: [{ type: "text", text: "turn " + n + " " + "x".repeat((n * 37) % 900) }] });
const write = async (id) => {
  const known = await store.load(id);
  const all = known ? known.messages : [];
  let revision = known && known.revision;
  for (let n = all.length; ; n += 1) {
    const next = message(id, n);
    all.push(next);
    if (revision !== undefined && typeof store.append === "function") {
      ({ revision } = await store.append(id, [next], { revision }));
    } else {
      await store.save(id, all);
      revision = ((await store.load(id)) || {}).revision;
    }
    say("stored", id, n + 1);
  }
};
say("ready");
await Promise.all(Array.from({ length: Number(count) }, (_, n) => write("killed-" + n)));
`;

interface StoreModule {
  open: (place: string) => SessionStore | Promise<SessionStore>;
  close?: (store: SessionStore) => unknown;
}

export const KILLS: readonly ConformanceCase[] = [
  {
    group,
    name: "processes that write are killed: nothing acknowledged is lost, doubled, out of order or unreadable",
    needs: ["kills"],
    async run({ kills }) {
      const { mkdtemp, rm } = await import("node:fs/promises");
      const { tmpdir } = await import("node:os");
      const node_path = await import("node:path");
      const place = await mkdtemp(node_path.join(tmpdir(), "conformance-"));
      try {
        await kill_rounds(kills as ConformanceKills, place);
      } finally {
        await rm(place, { recursive: true, force: true });
      }
    },
  },
];

async function kill_rounds(options: ConformanceKills, place: string): Promise<void> {
  const url = await url_of(options.module);
  const module = (await import(url)) as StoreModule;
  const random = seeded(5);
  const acknowledged = new Map<string, number>();
  const losses: string[] = [];
  for (let round = 1; round <= (options.rounds ?? DEFAULT_ROUNDS); round += 1) {
    const lines = await killed_after(random.below(MAX_MS), url, place, options);
    for (const line of lines) {
      const [word, id = "", count] = line.split(" ");
      if (word === "stored") {
        acknowledged.set(id, Number(count));
      }
    }
    const store = await module.open(place);
    try {
      losses.push(...(await lost(store, acknowledged)).map((loss) => `round ${round}: ${loss}`));
    } finally {
      await module.close?.(store);
    }
  }
  check(acknowledged.size > 0, "no process has come so far as to store anything");
  check(losses.length === 0, `${losses.length} losses: ${losses.slice(0, 5).join("; ")}`);
}

async function lost(store: SessionStore, acknowledged: Map<string, number>): Promise<string[]> {
  const losses: string[] = [];
  for (const [id, count] of acknowledged) {
    try {
      const found = (await store.load(id))?.messages ?? [];
      const is_right = found.every((message, at) => message.id === `${id} ${at}`);
      if (found.length < count || !is_right) {
        losses.push(
          `${id} has ${found.length} messages${is_right ? "" : ", not those that were written"}; ${count} were acknowledged`,
        );
      }
      acknowledged.set(id, Math.max(count, found.length)); // who has read it goes on from there
    } catch (error) {
      losses.push(`${id} cannot be read: ${String(error)}`);
    }
  }
  return losses;
}

/** What a process has said until it was killed, so long after it began to write. */
async function killed_after(ms: number, url: string, place: string, options: ConformanceKills): Promise<string[]> {
  const { spawn } = await import("node:child_process");
  const node_options = options.node_options ?? process.execArgv;
  // On the standard input: Deno imports nothing from a text after `-e`, and from a file elsewhere no packages of this directory.
  const args = [...node_options, "--input-type=module", "-", url, place, String(SESSIONS)];
  const child = spawn(process.execPath, args, { stdio: "pipe" });
  child.stdin.on("error", () => undefined).end(PROGRAM); // a process that ended before it read says why itself
  let [said, complained] = ["", ""];
  let timer: NodeJS.Timeout | undefined;
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complained += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    timer ??= timers.set_timeout(() => child.kill("SIGKILL"), ms);
  });
  await new Promise((resolve, reject) => child.on("close", resolve).on("error", reject));
  timers.clear_timeout(timer);
  check(child.signalCode === "SIGKILL", `the process ended by itself: ${complained.trim().slice(-300)}`);
  return said.slice(0, said.lastIndexOf("\n") + 1).split("\n");
}

async function url_of(module: string): Promise<string> {
  const node_url = await import("node:url");
  return module.startsWith("file:") ? module : node_url.pathToFileURL(module).href;
}
