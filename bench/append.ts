import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { message_of_2_kb } from "./conversations.js";
import {
  at_most,
  in_temporary_directory,
  interleave,
  keyed,
  median,
  pair,
  ratio,
  time,
  type Subject,
} from "./harness.js";

const APPENDS = 2_000;
const SAMPLE = 100;

/** An append costs the same however long the history is. */
export const APPEND: Subject = {
  name: "append",
  async measure({ quick, formats }) {
    const ways = keyed(formats, (format) => () => in_temporary_directory((directory) => append_all(directory, format)));
    const times = await interleave(ways, quick ? 3 : 9);
    return formats.map((format) => {
      const early = times[format].map((round) => median(round.slice(SAMPLE, 2 * SAMPLE)));
      const late = times[format].map((round) => median(round.slice(-SAMPLE)));
      const figure = `append (${format}): appends 1,901–2,000 / appends 101–200`;
      return at_most(figure, ratio(late, early), 1.3, " ×", pair(late, early));
    });
  },
};

async function append_all(directory: string, format: FileSessionFormat): Promise<number[]> {
  const store = new FileSessionStore(directory, { format, durable: true });
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
