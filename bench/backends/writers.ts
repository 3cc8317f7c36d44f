import { randomUUID } from "node:crypto";
import { in_a_fresh_process } from "../fresh-process.js";
import { with_clean_up, type Figure } from "../harness.js";
import type { Place } from "./backend.js";
import { own_session, SHARED_SESSION, type WriterReport, type WriterTask } from "./writer-task.js";

const PROCESSES = 4;

/** Several processes append to one session, each again where another came between, and to sessions of their own. */
export async function writers_figure(what: string, place: Place, quick: boolean): Promise<Figure | undefined> {
  const address = place.address("written");
  if (address === undefined) {
    return undefined;
  }
  const { store } = await place.tables("written");
  await store.replace(SHARED_SESSION, [], { revision: null });
  const appends = quick ? 25 : 100;
  const stop = new AbortController();
  const tasks = Array.from({ length: PROCESSES }, (_, n): WriterTask => {
    return { address, name: `writer-${n}-${randomUUID().slice(0, 8)}`, processes: PROCESSES, appends };
  });
  const running = tasks.map((task) =>
    in_a_fresh_process<WriterReport>("backends/writer.ts", [JSON.stringify(task)], stop.signal),
  );
  const reports = await with_clean_up(
    () => Promise.all(running),
    async () => {
      stop.abort();
      await Promise.allSettled(running);
    },
  );
  let [lost, doubled] = [0, 0];
  const sessions = [SHARED_SESSION, ...tasks.map(own_session)];
  for (const id of sessions) {
    const session = await store.load(id);
    const stored = session?.messages.map((message) => message.id) ?? [];
    const acknowledged = reports.flatMap(({ written }) => written[id] ?? []);
    lost += acknowledged.filter((message) => !stored.includes(message)).length;
    doubled += stored.length - new Set(stored).size;
  }
  const all = reports.flatMap(({ written }) => Object.values(written).flat()).length;
  if (all !== 2 * PROCESSES * appends) {
    throw new Error(`${all} appends were acknowledged, where ${2 * PROCESSES * appends} were to be`);
  }
  const conflicts = reports.reduce((sum, report) => sum + report.conflicts, 0);
  return {
    what: `${what} ${PROCESSES} processes, ${all} appends`,
    measured: `${lost} lost, ${doubled} doubled (${conflicts} conflicts, all retried)`,
    bound: "0 lost",
    holds: lost === 0 && doubled === 0,
  };
}
