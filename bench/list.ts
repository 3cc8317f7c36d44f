import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { FileSessionStore } from "@simulacra-ai/session";
import { real_conversation, real_excerpt } from "./conversations.js";
import {
  at_least,
  at_most,
  for_information,
  in_temporary_directory,
  median,
  ms,
  ratio,
  type Subject,
} from "./harness.js";
import type { ListReport } from "./list-worker.js";

const SESSION_BYTES = 21_000;
const EXCERPTS = 200;

/** Listing reads the heads of the files, not the files. */
export const LIST: Subject = {
  name: "list",
  async measure({ quick }) {
    const sessions = quick ? 2_000 : 10_000;
    const report = await in_temporary_directory(async (directory) => {
      const store = new FileSessionStore(directory, { durable: false });
      const conversation = real_conversation();
      const excerpts = Array.from({ length: EXCERPTS }, (_, at) => real_excerpt(conversation, 3 * at, SESSION_BYTES));
      for (let index = 0; index < sessions; index += 1) {
        await store.save(`session-${index}`, excerpts[index % EXCERPTS] ?? [], {
          label: `Session ${index}`,
          kind: "root",
        });
      }
      return measure_in_a_fresh_process(directory, quick ? 3 : 5);
    });
    if (report.listed !== sessions) {
      throw new Error(`${report.listed} sessions were listed where ${sessions} are stored`);
    }
    const what = `list, ${sessions.toLocaleString("en")} sessions of 22 KB`;
    const { list, again, parse, blocked, rss_growth } = report;
    return [
      at_least(
        `${what}: parsing every file / time, from the second list of a store on`,
        ratio(parse, again),
        10,
        " ×",
        `${ms(median(parse))} / ${ms(median(again))}`,
      ),
      at_least(
        `${what}: the same, the first list of a store`,
        ratio(parse, list),
        10,
        " ×",
        `${ms(median(parse))} / ${ms(median(list))}`,
      ),
      at_most(`${what}: growth of the process at its peak`, rss_growth / 1e6, 50, " MB"),
      for_information(
        `${what}: event loop blocked, longest`,
        median(blocked),
        " ms",
        `worst round ${ms(Math.max(...blocked))}`,
      ),
    ];
  },
};

async function measure_in_a_fresh_process(directory: string, rounds: number): Promise<ListReport> {
  const script = fileURLToPath(new URL("list-worker.ts", import.meta.url));
  const options = { execArgv: ["--import", import.meta.resolve("tsx"), "--expose-gc"] };
  const worker = fork(script, [directory, String(rounds)], options);
  let report: ListReport | undefined;
  worker.on("message", (message) => (report = message as ListReport));
  const [code] = (await once(worker, "close")) as [number | null];
  if (report === undefined) {
    throw new Error(`the listing process failed (exit code ${code})`);
  }
  return report;
}
