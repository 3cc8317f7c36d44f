import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { real_conversation, real_excerpt } from "./conversations.js";
import { in_a_fresh_process } from "./fresh-process.js";
import {
  at_least,
  at_most,
  in_temporary_directory,
  median,
  ms,
  pair,
  ratio,
  type Figure,
  type Subject,
} from "./harness.js";
import type { ListReport } from "./list-worker.js";

const SESSION_BYTES = 41_000;
const EXCERPTS = 200;

/** Listing reads the heads of the files, not the files. */
export const LIST: Subject = {
  name: "list",
  async measure({ quick, formats }) {
    const figures: Figure[] = [];
    for (const format of formats) {
      figures.push(...(await figures_of(format, quick ? 2_000 : 10_000, quick ? 3 : 5)));
    }
    figures.push(...(await indented_figures(quick ? 2_000 : 10_000, quick ? 3 : 5)));
    return figures;
  },
};

async function figures_of(format: FileSessionFormat, sessions: number, rounds: number): Promise<Figure[]> {
  const report = await in_temporary_directory(async (directory) => {
    await store_sessions(directory, format, sessions);
    return in_a_fresh_process<ListReport>("list-worker.ts", [directory, String(rounds)]);
  });
  if (report.listed !== sessions) {
    throw new Error(`${report.listed} sessions were listed where ${sessions} are stored`);
  }
  const what = `list (${format}), ${sessions.toLocaleString("en")} sessions of 42 KB`;
  const { list, again, parse, cold, blocked, idle, rss_growth } = report;
  const every = `${what}: parsing every file / time`;
  const figures = [
    at_least(`${every}, from the second list of a store on`, ratio(parse, again), 20, " ×", pair(parse, again)),
    at_least(`${every}, the first list of a store`, ratio(parse, list), 20, " ×", pair(parse, list)),
    at_most(`${what}: growth of the process at its peak`, rss_growth / 1e6, 50, " MB"),
    at_most(
      `${what}: event loop blocked, longest`,
      Math.max(...blocked),
      10,
      " ms",
      `median round ${ms(median(blocked))}; a loop that does nothing: longest ${ms(Math.max(...idle))}, median ${ms(median(idle))}`,
    ),
  ];
  if (cold === undefined) {
    console.error("SKIPPED: list with cold caches: only Linux's root can empty them");
    return figures;
  }
  const note = pair(cold.parse, cold.list);
  return [
    ...figures,
    at_least(`${every}, nothing of the files in memory`, ratio(cold.parse, cold.list), 5, " ×", note),
  ];
}

/** Files as the published package writes them: indented, without anything of ours. */
async function indented_figures(sessions: number, rounds: number): Promise<Figure[]> {
  const { list, again, parse } = await in_temporary_directory(async (directory) => {
    const excerpts = excerpts_of_sessions();
    for (let index = 0; index < sessions; index += 1) {
      const id = `session-${index}`;
      const messages = excerpts[index % EXCERPTS] ?? [];
      const date = new Date(1_767_225_600_000 + index).toISOString();
      const dates = { created_at: date, updated_at: date };
      const metadata = { id, ...dates, message_count: messages.length, label: `Session ${index}` };
      await writeFile(join(directory, `${id}.json`), JSON.stringify({ metadata, messages }, null, 2));
    }
    return in_a_fresh_process<ListReport>("list-worker.ts", [directory, String(rounds)]);
  });
  const every = `list (of the published package), ${sessions.toLocaleString("en")} sessions of 42 KB: parsing every file / time`;
  return [
    at_least(`${every}, from the second list of a store on`, ratio(parse, again), 20, " ×", pair(parse, again)),
    at_least(`${every}, the first list of a store`, ratio(parse, list), 12, " ×", pair(parse, list)),
  ];
}

function excerpts_of_sessions() {
  const conversation = real_conversation();
  return Array.from({ length: EXCERPTS }, (_, at) => real_excerpt(conversation, 3 * at, SESSION_BYTES));
}

async function store_sessions(directory: string, format: FileSessionFormat, sessions: number): Promise<void> {
  const store = new FileSessionStore(directory, { format, durable: false });
  const excerpts = excerpts_of_sessions();
  for (let index = 0; index < sessions; index += 1) {
    const metadata = { label: `Session ${index}`, kind: "root" } as const;
    await store.save(`session-${index}`, excerpts[index % EXCERPTS] ?? [], metadata);
  }
}
