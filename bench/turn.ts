import { Conversation, replay_turn, StreamingProvider, type Message, type RecordedTurn } from "@simulacra-ai/core";
import { InMemorySessionStore, SessionManager } from "@simulacra-ai/session";
import { short_turn, turn_of } from "./conversations.js";
import { at_most, for_information, interleave, median, ms, type Figure, type Subject } from "./harness.js";

/** By the number of messages before the turns: the most that the manager may add to a turn, in milliseconds. */
const BOUNDS: ReadonlyMap<number, number> = new Map([
  [2_000, 0.1],
  [50_000, 1],
]);
const WARM_UP_TURNS = 1_500;
const TURNS = 200;

/**
 * The manager's own work for a turn of two messages of 2 KB: the time from `message_complete` to the `save` event, less a
 * bare `store.append` of two such messages, less one read of `conversation.messages`. Each of the three is the median of
 * many turns, and the three are measured in turns. The time is CPU time of this process, since the store keeps records in
 * memory and never waits. The second figure is the same on the clock, where waits would show.
 */
export const TURN: Subject = {
  name: "turn",
  async measure({ quick }) {
    await measure_turns(2, WARM_UP_TURNS); // so that nothing is compiled while it is timed
    const figures: Figure[] = [];
    for (const [length, bound] of BOUNDS) {
      const { saved, appended, read } = await measure_turns(length, quick ? TURNS / 2 : TURNS);
      const what = `turn, ${length.toLocaleString("en")} messages before it: saved − appended − messages read`;
      const medians = (clock: keyof Spent) =>
        [saved, appended, read].map((spent) => median(spent.map((one) => one[clock]))) as [number, number, number];
      const cpu = medians("cpu");
      const elapsed = medians("elapsed");
      figures.push(
        at_most(what, difference(cpu), bound, " ms", cpu.map(ms).join(" − ")),
        for_information(`${what}, on the clock`, difference(elapsed), " ms", elapsed.map(ms).join(" − ")),
      );
    }
    return figures;
  },
};

function difference([saved, appended, read]: [number, number, number]): number {
  return saved - appended - read;
}

/** Milliseconds. */
interface Spent {
  /** Of the whole process. Other processes do not disturb it. */
  cpu: number;
  elapsed: number;
}

/** Returns a function that tells what was spent since. */
function stopwatch(): () => Spent {
  const cpu_before = process.cpuUsage();
  const began = performance.now();
  return () => {
    const elapsed = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu_before);
    return { cpu: (user + system) / 1_000, elapsed };
  };
}

/** Adds turns to a session of `length` messages. Returns what each turn, each append and each read took. */
async function measure_turns(length: number, turns: number) {
  const store = new InMemorySessionStore();
  const messages = short_messages(length);
  await store.save("managed", messages, { label: "Short messages" });
  let { revision } = await store.replace("bare", messages, { revision: null });
  const session = await open_session(store, "managed");
  let index = 0;
  const spent = await interleave(
    {
      saved: () => session.save_turn(turn_of((index += 1))),
      async appended() {
        const { user, assistant } = turn_of(index);
        const added = [...user, ...assistant];
        const stop = stopwatch();
        ({ revision } = await store.append("bare", added, { revision }));
        return stop();
      },
      async read() {
        const stop = stopwatch();
        const { length: count } = session.conversation.messages;
        const took = stop();
        if (count !== length + 2 * index) {
          throw new Error(`the conversation holds ${count} messages`);
        }
        return took;
      },
    },
    turns,
  );
  await session.close();
  return spent;
}

async function open_session(store: InMemorySessionStore, id: string) {
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  let stop = stopwatch();
  conversation.on("message_complete", () => (stop = stopwatch())); // before the manager hears of the turn
  const manager = new SessionManager(store, conversation);
  let stored = (_spent: Spent) => undefined as void;
  manager.on("save", () => stored(stop()));
  manager.on("lifecycle_error", ({ error }) => {
    throw error;
  });
  await manager.load(id);
  return {
    conversation,
    async save_turn(turn: RecordedTurn): Promise<Spent> {
      const saved = new Promise<Spent>((resolve) => (stored = resolve));
      await replay_turn(conversation, provider, turn);
      return saved;
    },
    close: () => manager[Symbol.asyncDispose](),
  };
}

function short_messages(length: number): Message[] {
  return Array.from({ length: length / 2 }, (_, index) => short_turn(index)).flatMap(({ user, assistant }) => [
    ...user,
    ...assistant,
  ]);
}
