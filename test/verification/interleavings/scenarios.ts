import { checksum } from "../../../src/stores/file/format/checksum.js";
import { lock_of } from "../crash-states/crash-model.js";
import type { Actor } from "./actor.js";
import { message } from "./history.js";
import type { Scenario } from "./run-order.js";

type Script = (actor: Actor) => Promise<void>;

/** Long enough that a few of them make a journal that is folded. */
const long = (name: string) => name.padEnd(60_000, ".");

async function append_to(actor: Actor | undefined, ...texts: string[]): Promise<void> {
  let { revision = "" } = (await actor?.store.load("s")) ?? {};
  for (const text of texts) {
    revision = (await actor?.store.append("s", [message(text)], { revision }))?.revision ?? "";
  }
}

const saved = async ([first]: Actor[]): Promise<void> => {
  await first?.store.save("s", [message("one")], { label: "L" });
};

const with_journal = async (actors: Actor[]): Promise<void> => {
  await saved(actors);
  await append_to(actors[0], "two", "three");
};

const nothing = (): Promise<void> => Promise.resolve();

/** The next append of the first actor makes the journal long enough. */
const before_fold = async (actors: Actor[]): Promise<void> => {
  await saved(actors);
  await append_to(actors[0], long("two"));
};

const append: Script = async (actor) => void (await actor.append(`by ${actor.number}`));
const append_at_last: Script = (actor) => actor.append_at_last(`by ${actor.number}`);
const append_twice: Script = async (actor) => {
  const first = await actor.append(`first by ${actor.number}`);
  if (first.kind === "revision") {
    await actor.append(`second by ${actor.number}`, first.revision);
  }
};
const append_past_limit: Script = async (actor) => {
  const first = await actor.append(`a ${".".repeat(6000)}`);
  if (first.kind === "revision") {
    await actor.append("b", first.revision);
  }
};
const append_long_enough: Script = async (actor) => void (await actor.append(`a ${".".repeat(6000)}`));
const flush_and_append_twice: Script = async (actor) => {
  await actor.flush();
  await actor.append_at_last("first behind it");
  await actor.append_at_last("second behind it");
};
const save: Script = async (actor) => void (await actor.save([`saved by ${actor.number}`, "and more"]));
const replace: Script = async (actor) => void (await actor.replace([`replaced by ${actor.number}`]));
const create: Script = async (actor) => void (await actor.replace([`new by ${actor.number}`], null));
const flush: Script = async (actor) => void (await actor.flush());
const update: Script = async (actor) => void (await actor.update(`label by ${actor.number}`));
const remove: Script = async (actor) => void (await actor.delete());
const read: Script = async (actor) => {
  await actor.load();
  await actor.load();
};
const read_once: Script = async (actor) => void (await actor.load());
const list_once: Script = async (actor) => void (await actor.list());
const list: Script = async (actor) => {
  await actor.list();
  await actor.list();
};
const then =
  (...scripts: Script[]): Script =>
  async (actor) => {
    for (const script of scripts) {
      await script(actor);
    }
  };

function scenario(name: string, setup: Scenario["setup"], ...scripts: Script[]): Scenario {
  return { name, setup, scripts };
}

const WRITERS: Scenario[] = [
  scenario("append, append at the same revision", with_journal, append, append),
  scenario("first append, first append", saved, append, append),
  scenario("appends that are tried again", with_journal, append_at_last, append_at_last),
  scenario("append, flush", with_journal, append_twice, flush),
  scenario("flush, flush", with_journal, flush, flush),
  scenario("append and a fold beside it, append", before_fold, append_past_limit, append_at_last),
  scenario("append and a fold beside it, flush", before_fold, append_past_limit, flush),
  scenario("append and a fold beside it, flush and appends", before_fold, append_past_limit, flush_and_append_twice),
  scenario("append and a fold beside it, save", before_fold, append_past_limit, save),
  scenario("append and a fold beside it, delete", before_fold, append_past_limit, remove),
  scenario("a fold, append", before_fold, append_long_enough, append_at_last),
  scenario("a fold, flush", before_fold, append_long_enough, flush),
  scenario("a fold, save", before_fold, append_long_enough, save),
  scenario("a fold, delete", before_fold, append_long_enough, remove),
  scenario("save, append", with_journal, save, append),
  scenario("save, save", with_journal, save, save),
  scenario("delete, append", with_journal, remove, append),
  scenario("delete, save", with_journal, remove, save),
  scenario("update, append", with_journal, update, append),
  scenario("update, first append", saved, update, append),
  scenario("update, flush", with_journal, update, flush),
  scenario("replace, append", with_journal, replace, append),
  scenario("replace, replace", with_journal, replace, replace),
  scenario("replace null, replace null", nothing, create, create),
  scenario("delete, replace null", with_journal, remove, create),
];

const READ: [string, Scenario["setup"], Script][] = [
  ["append", with_journal, append_twice],
  ["first append", saved, append_twice],
  ["append and a fold beside it", before_fold, append_past_limit],
  ["flush and append", with_journal, then(append, flush, append_at_last)],
  ["two folds and appends", with_journal, then(flush_and_append_twice, flush, append_at_last)],
  ["save", with_journal, save],
  ["update", with_journal, update],
  ["delete and save", with_journal, then(remove, save)],
  ["replace null", nothing, create],
];

const READERS: Scenario[] = READ.flatMap(([name, setup, script]) => [
  scenario(`load, ${name}`, setup, read, script),
  scenario(`list, ${name}`, setup, list, script),
]);

const forked = async ([first]: Actor[]): Promise<void> => {
  await first?.store.save("s", [message("one")]);
  await first?.store.save("f", [message("fork")], { parent_id: "s" });
};
const fork: Script = async (actor) => void (await actor.save(["another fork"], { id: "g", parent_id: "s" }));
const remove_fork: Script = async (actor) => void (await actor.delete("f"));

const FORKS: Scenario[] = [
  { ...scenario("fork, delete of the last other fork", forked, fork, remove_fork), ids: ["s", "f", "g"] },
  { ...scenario("fork, delete of the parent", forked, fork, remove), ids: ["s", "f", "g"] },
  {
    ...scenario(
      "the first fork, another",
      saved,
      fork,
      then(async (actor) => void (await actor.save(["f"], { id: "f", parent_id: "s" }))),
    ),
    ids: ["s", "f", "g"],
  },
];

/** The first actor is stopped for as long as one likes: the others take its lock over. */
const stopped = (seen: "gone" | "unknown", name: string, setup: Scenario["setup"], ...scripts: Script[]): Scenario => ({
  ...scenario(`${name}; the first is taken for ${seen === "gone" ? "gone" : "silent"}`, setup, ...scripts),
  seen_as: [seen],
});

const BROKEN_LOCKS: Scenario[] = [
  stopped("gone", "append, append", with_journal, append, append_at_last),
  stopped("unknown", "append, append", with_journal, append, append_at_last),
  stopped("gone", "first append, first append", saved, append, append_at_last),
  stopped("gone", "append twice, append and flush", with_journal, append_twice, then(append_at_last, flush)),
  stopped("gone", "flush, append", with_journal, flush, append_at_last),
  stopped("gone", "save, append", with_journal, save, append_at_last),
  stopped("gone", "replace, append", with_journal, replace, append_at_last),
  stopped("gone", "update, append", with_journal, update, append_at_last),
  stopped("gone", "delete, append", with_journal, remove, append_at_last),
  stopped("gone", "replace null, replace null and append", nothing, create, then(create, append_at_last)),
  stopped("gone", "save, save and append", nothing, save, then(save, append_at_last)),
  stopped("gone", "delete, delete, save and append", with_journal, remove, then(remove, save, append_at_last)),
  stopped("gone", "append and a fold beside it, append", before_fold, append_past_limit, append_at_last),
  stopped("gone", "append, two that append", with_journal, append, append, append_at_last),
  stopped("unknown", "append, two that append", with_journal, append, append, append_at_last),
  stopped("gone", "append, append, load", with_journal, append, append_at_last, read_once),
];

const DEAD = lock_of(999_999_999, "0123456789ab");

/** A process died in a change, and several find its lock. */
const with_dead_lock: Scenario["setup"] = async (actors, disk) => {
  await with_journal(actors);
  disk.leave_lock(DEAD, "/sessions/s.lock");
};

/** And one died in taking it over. */
const with_dead_claim: Scenario["setup"] = async (actors, disk) => {
  await with_dead_lock(actors, disk);
  const claim = `/sessions/s.${checksum("claim", DEAD).slice(0, 12)}.tmp`;
  disk.leave_lock(lock_of(999_999_998, "ba9876543210"), claim);
};

const DEAD_LOCKS: Scenario[] = [
  scenario("a dead lock: append, append", with_dead_lock, append_at_last, append_at_last),
  scenario("a dead lock: append twice, append twice", with_dead_lock, append_twice, append_twice),
  scenario("a dead lock: save, append", with_dead_lock, save, append_at_last),
  scenario("a dead lock: flush, append, load", with_dead_lock, flush, append_at_last, read_once),
  scenario("a dead lock and a dead claim: append, append", with_dead_claim, append_at_last, append_at_last),
  scenario("a dead lock: append, append, append", with_dead_lock, append, append, append),
];

/** Appends that follow each other at once: their lock, and the journal's handle, wait for the next one. */
const kept = (of: Scenario, ...keepers: number[]): Scenario => ({ ...of, name: `a kept lock: ${of.name}`, keepers });
const appends_and_flush = then(append_twice, flush);
const append_and_flush = then(append_at_last, flush);

const KEPT_LOCKS: Scenario[] = [
  kept(scenario("append twice and flush, append", with_journal, appends_and_flush, append), 0),
  kept(scenario("append and flush, append and flush", with_journal, append_and_flush, append_and_flush), 0, 1),
  kept(scenario("append and flush, flush", with_journal, append_and_flush, flush), 0),
  kept(scenario("append twice and flush, save", with_journal, appends_and_flush, save), 0),
  kept(scenario("append twice and flush, load", with_journal, appends_and_flush, read_once), 0),
  kept(stopped("gone", "append twice and flush, append", with_journal, appends_and_flush, append_at_last), 0),
  kept(stopped("gone", "append and flush, save", with_journal, append_and_flush, save), 0),
];

/** What a reader finds one time after another is looked at where it is alone with a writer. */
const THREE: Scenario[] = [
  scenario("a fold, append, load", before_fold, append_long_enough, append, read_once),
  scenario("append, flush, load", with_journal, append_twice, flush, read_once),
  scenario("append, append, load", with_journal, append_at_last, append_at_last, read_once),
  scenario("append, append and flush, list", with_journal, append_at_last, then(append_at_last, flush), list_once),
  scenario("append and a fold beside it, append, load", before_fold, append_past_limit, append_at_last, read_once),
];

export const SCENARIOS: Scenario[] = [
  ...WRITERS,
  ...READERS,
  ...FORKS,
  ...DEAD_LOCKS,
  ...BROKEN_LOCKS,
  ...KEPT_LOCKS,
  ...THREE,
];
