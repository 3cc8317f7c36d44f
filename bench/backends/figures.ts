import { isDeepStrictEqual } from "node:util";
import { message_of_2_kb } from "../conversations.js";
import { at_most, for_information, interleave, median, pair, ratio, sweep, time, type Figure } from "../harness.js";
import { filled_session, place_of_session, type Place, type Tables } from "./backend.js";

const APPENDS = 1_000;
const SAMPLE = 100;
/** Appends of which the median counts. */
const TURN = 100;
const PAGE = 20;
/** Lists a turn. */
const LISTS = 5;
const FILLED_AT_ONCE = 10_000;

/** Appends, and a load of what was appended, through the store and by hand. */
export async function append_and_load_figures(what: string, place: Place, quick: boolean): Promise<Figure[]> {
  const tables = await place.tables("appended");
  const early: number[] = [];
  const late: number[] = [];
  const stores: number[] = [];
  const hands: number[] = [];
  await append_all(tables, "warm-up", quick ? APPENDS / 10 : APPENDS);
  for (let round = 0; round < (quick ? 1 : 3); round += 1) {
    const { store, by_hand } = await append_all(tables, String(round), APPENDS);
    early.push(median(store.flat().slice(SAMPLE, 2 * SAMPLE)));
    late.push(median(store.flat().slice(-SAMPLE)));
    stores.push(...store.map(median));
    hands.push(...by_hand.map(median));
  }
  const append = `${what} append of 2 messages`;
  return [
    at_most(`${append}: appends 901–1,000 / appends 101–200`, ratio(late, early), 1.3, " ×", pair(late, early)),
    at_most(`${append}: time / by hand`, ratio(stores, hands), 1.5, " ×", pair(stores, hands)),
    await load_figure(what, tables, quick ? 7 : 30),
  ];
}

/**
 * To two new sessions, one append to each in turn: a processor that falls asleep between two requests does so for both.
 * The times of each way, a hundred at a time.
 */
async function append_all({ store, by_hand }: Tables, round: string, appends: number) {
  const [stored, handmade] = [`stored-${round}`, `by-hand-${round}`];
  let { revision } = await store.replace(stored, [], { revision: null });
  await by_hand.create(handmade);
  const times = { store: [] as number[][], by_hand: [] as number[][] };
  sweep();
  for (let appended = 0; appended < appends; appended += 1) {
    if (appended % TURN === 0) {
      times.store.push([]);
      times.by_hand.push([]);
    }
    const messages = () => [message_of_2_kb(2 * appended), message_of_2_kb(2 * appended + 1)];
    const ways = [
      async (given = messages()) => {
        const append = async () => ({ revision } = await store.append(stored, given, { revision }));
        times.store.at(-1)?.push(await time(append));
      },
      async (given = messages()) => {
        times.by_hand.at(-1)?.push(await time(() => by_hand.append(handmade, given)));
      },
    ];
    for (const way of appended % 2 === 0 ? ways : ways.toReversed()) {
      await way();
    }
  }
  return times;
}

const STORED = "stored-0";
const BY_HAND = "by-hand-0";

async function load_figure(what: string, { store, by_hand }: Tables, rounds: number): Promise<Figure> {
  const [loaded, read] = [await store.load(STORED), await by_hand.load(BY_HAND)];
  if (read.messages.length !== 2 * APPENDS || !isDeepStrictEqual(loaded?.messages, read.messages)) {
    throw new Error("the store and the way by hand have not stored the same messages");
  }
  const ways = { load: () => time(() => store.load(STORED)), plain: () => time(() => by_hand.load(BY_HAND)) };
  await interleave(ways, 5);
  const { load, plain } = await interleave(ways, rounds);
  return at_most(`${what} load of 2,000 messages: time / by hand`, ratio(load, plain), 1.5, " ×", pair(load, plain));
}

/** Lists of few and of many sessions, and of sessions with more messages. */
export async function list_figures(what: string, place: Place, quick: boolean): Promise<Figure[]> {
  const [few, many] = quick ? [1_000, 10_000] : [10_000, 100_000];
  const tables = {
    few: await filled_tables(place, "few", few, 1),
    long: await filled_tables(place, "long", few, 10),
    many: await filled_tables(place, "many", many, 1),
  };
  const list = (task: () => Promise<unknown>) => async () => {
    const took = await time(async () => {
      for (let n = 0; n < LISTS; n += 1) {
        await task();
      }
    });
    return took / LISTS;
  };
  const ways = {
    few: list(() => tables.few.store.list({ limit: PAGE })),
    by_hand: list(() => tables.few.by_hand.list(PAGE)),
    long: list(() => tables.long.store.list({ limit: PAGE })),
    many: list(() => tables.many.store.list({ limit: PAGE })),
  };
  await interleave(ways, 5);
  const times = await interleave(ways, quick ? 10 : 40);
  const of = (a: keyof typeof times, b: keyof typeof times) =>
    [ratio(times[a], times[b]), pair(times[a], times[b])] as const;
  const [by_hand, by_hand_note] = of("few", "by_hand");
  const [growth, growth_note] = of("many", "few");
  const [volume, volume_note] = of("long", "few");
  const [few_text, many_text] = [few, many].map((count) => count.toLocaleString("en"));
  const page = `${what} list({ limit: ${PAGE} })`;
  return [
    at_most(`${page} of ${few_text} sessions: time / by hand`, by_hand, 1.5, " ×", by_hand_note),
    at_most(`${page}: of ${many_text} sessions / of ${few_text}`, growth, 2, " ×", growth_note),
    for_information(`${page}: sessions of 10 messages / of 1`, volume, " ×", volume_note),
  ];
}

async function filled_tables(place: Place, name: string, count: number, messages_each: number): Promise<Tables> {
  const tables = await place.tables(name);
  for (let from = 0; from < count; from += FILLED_AT_ONCE) {
    const length = Math.min(FILLED_AT_ONCE, count - from);
    await tables.fill(Array.from({ length }, (_, n) => filled_session(from + n, count, messages_each)));
  }
  await check_filled(tables, count, messages_each);
  return tables;
}

/** What was written past the store is to the store what it would have written. */
async function check_filled({ store, by_hand }: Tables, count: number, messages_each: number): Promise<void> {
  const by_age = Array.from({ length: count }, (_, n) => n).sort(
    (a, b) => place_of_session(b, count) - place_of_session(a, count),
  );
  const entries = (from: number) =>
    by_age.slice(from, from + PAGE).map((n) => filled_session(n, count, messages_each).metadata);
  const newest = entries(0);
  const [before] = entries(count - PAGE - 1);
  const { metadata, messages } = filled_session(by_age[0] ?? 0, count, messages_each);
  const loaded = await store.load(metadata.id);
  const is_seen =
    isDeepStrictEqual(await store.list({ limit: PAGE }), newest) &&
    isDeepStrictEqual(await by_hand.list(PAGE), newest) &&
    isDeepStrictEqual(await store.list({ limit: 2 * PAGE, before: before ?? metadata }), entries(count - PAGE)) &&
    isDeepStrictEqual(loaded?.metadata, metadata) &&
    isDeepStrictEqual(
      loaded?.messages,
      messages.map((text) => JSON.parse(text) as unknown),
    );
  if (!is_seen) {
    throw new Error(`the store does not see the ${count} sessions that were written past it`);
  }
}
