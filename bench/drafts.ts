import { open } from "node:fs/promises";
import { join } from "node:path";
import { recorded_turns, type RecordedTurn } from "@simulacra-ai/core";
import { FileSessionStore, type FileSessionFormat, type SessionStore } from "@simulacra-ai/session";
import { json_line, synthetic_conversation } from "./conversations.js";
import { at_most, for_information, in_temporary_directory, interleave, pair, ratio } from "./harness.js";
import type { Figure, Subject } from "./harness.js";
import { save_turns, with_manager, type OpenSaver } from "./savers.js";

const TURNS = 1_000;
const ROUNDS = 7;

/** Turns whose prompts are on the device before there is an answer, against the least that this takes. */
export const DRAFTS: Subject = {
  name: "drafts",
  async measure({ quick, formats }) {
    const turns = recorded_turns(synthetic_conversation(2 * (quick ? TURNS / 4 : TURNS)));
    const figures: Figure[] = [];
    for (const format of formats) {
      figures.push(...(await figures_of(turns, format, quick ? 3 : ROUNDS)));
    }
    return figures;
  },
};

async function figures_of(
  turns: readonly RecordedTurn[],
  format: FileSessionFormat,
  rounds: number,
): Promise<Figure[]> {
  const run = (saver: OpenSaver) => () => in_temporary_directory((directory) => save_turns(turns, saver, directory));
  const ways = {
    drafts: run(with_manager({ format, drafts: true })),
    raw: run(two_syncs),
    off: run(with_manager({ format })),
    none: run(
      with_manager({
        format,
        drafts: true,
        open_store: (directory) => without_drafts(new FileSessionStore(directory, { format })),
      }),
    ),
  };
  await interleave(ways, 1); // all once, so that none is compiled while it is timed
  const { drafts, raw, off, none } = await interleave(ways, rounds);
  const name = `drafts (${format}), ${turns.length.toLocaleString("en")} turns of 2 KB messages`;
  return [
    at_most(`${name}: time / prompt and turn appended and synced`, ratio(drafts, raw), 2, " ×", pair(drafts, raw)),
    for_information(`${name}: time / without drafts`, ratio(drafts, off), " ×", pair(drafts, off)),
    for_information(`${name}: drafts: false / a store without drafts`, ratio(off, none), " ×", pair(off, none)),
  ];
}

/** The least that it takes to keep each prompt before its answer: two appends a turn, each synced. */
const two_syncs: OpenSaver = async (conversation, directory) => {
  const file = await open(join(directory, "raw.ndjson"), "a");
  let written = conversation.messages.length;
  let prompt_stored = Promise.resolve();
  const append = async (messages: readonly unknown[]) => {
    await file.write(messages.map(json_line).join(""));
    await file.datasync();
  };
  conversation.on("prompt_send", ({ message }) => {
    prompt_stored = append([message]);
  });
  return {
    async turn_stored() {
      const { messages } = conversation;
      await prompt_stored;
      await append(messages.slice(written));
      written = messages.length;
    },
    close: () => file.close(),
  };
};

/** The same store, all but the drafts. */
function without_drafts(store: FileSessionStore): SessionStore {
  return {
    list: (query) => store.list(query),
    load: (id) => store.load(id),
    save: (id, messages, metadata) => store.save(id, messages, metadata),
    delete: (id) => store.delete(id),
    append: (id, messages, options) => store.append(id, messages, options),
    replace: (id, messages, options) => store.replace(id, messages, options),
    update: (id, metadata) => store.update(id, metadata),
    flush: (id) => store.flush(id),
  };
}
