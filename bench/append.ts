import { FileSessionStore } from "@simulacra-ai/session";
import { message_of_2_kb } from "./conversations.js";
import { at_most, collect_garbage, in_temporary_directory, median, ms, ratio, time, type Subject } from "./harness.js";

const APPENDS = 2_000;
const SAMPLE = 100;

/** An append costs the same however long the history is. */
export const APPEND: Subject = {
  name: "append",
  async measure({ quick }) {
    const early: number[] = [];
    const late: number[] = [];
    for (let round = 0; round < (quick ? 3 : 9); round += 1) {
      collect_garbage();
      const times = await in_temporary_directory(append_all);
      early.push(median(times.slice(SAMPLE, 2 * SAMPLE)));
      late.push(median(times.slice(-SAMPLE)));
    }
    const note = `${ms(median(late))} / ${ms(median(early))}`;
    return [at_most("store.append: appends 1,901–2,000 / appends 101–200", ratio(late, early), 1.3, " ×", note)];
  },
};

async function append_all(directory: string): Promise<number[]> {
  const store = new FileSessionStore(directory, { durable: true });
  const id = "appended";
  let { revision } = await store.replace(id, [], { revision: null });
  const times: number[] = [];
  for (let index = 0; index < APPENDS; index += 1) {
    const message = message_of_2_kb(index);
    times.push(await time(async () => ({ revision } = await store.append(id, [message], { revision }))));
  }
  await store.flush();
  return times;
}
