/** A fault of the manager, as a change of its source. */
export interface SourceMutation {
  name: string;
  /** A file below `src/`. */
  file: string;
  /** Occurs in the file exactly once. */
  find: string;
  replace: string;
  /** The search finds it in time, or the tests of a file below `test/` whose names match do. */
  found_by: "fuzzer" | { file: string; test: string };
}

export const SOURCE_MUTATIONS: SourceMutation[] = [
  // An older state over a newer one.
  {
    name: "the count of stored messages stays behind",
    file: "manager/session-state.ts",
    find: "count: begun.count, ...written",
    replace: "count: this.shared.stored?.count ?? 0, ...written",
    found_by: "fuzzer",
  },
  {
    name: "a version that grew while it was written counts as stored",
    file: "manager/session-state.ts",
    find: "if (version.want === begun.want) {",
    replace: "if (begun.want > 0) {",
    found_by: "fuzzer",
  },
  {
    name: "a failed write's version is dropped",
    file: "manager/save-queue.ts",
    find: `this.#parts.events.note_failure("save", session.id, error);`,
    replace: `session.versions.shift();`,
    found_by: "fuzzer",
  },
  {
    name: "versions are stored from the newest on",
    file: "manager/save-queue.ts",
    find: "for (let [next] = session.versions; next !== undefined && is_left(next); [next] = session.versions) {",
    replace: "for (let next; (next = session.versions.at(-1)) !== undefined && is_left(next); ) {",
    found_by: "fuzzer",
  },
  {
    name: "a failed write leaves no doubt",
    file: "manager/session-state.ts",
    find: "this.shared.stored.is_certain = false;",
    replace: "",
    found_by: { file: "manager/failed-saves.test.ts", test: "the retry of a failed write" },
  },
  {
    name: "copies are released before they are stored",
    file: "manager/session-state.ts",
    find: "version.history.release(begun.count,",
    replace: "version.history.release(version.history.length,",
    found_by: { file: "manager/edits-in-place.test.ts", test: "is not stored with a turn of the engine" },
  },
  {
    name: "a record that another writer changed is taken for ours",
    file: "manager/save.ts",
    find: "if (stored.common === stored.messages.length || this.#is_ours(record)) {",
    replace: "{",
    found_by: { file: "manager/conflicts.test.ts", test: "where two managers diverge" },
  },
  {
    name: "a record of which the revision alone moved is taken for another writer's",
    file: "manager/save.ts",
    find: "stored.history.is_held_by(record, stored.count))",
    replace: "false)",
    found_by: { file: "manager/replaced.test.ts", test: "rename of the old version" },
  },

  // A blind retry in a store without revisions.
  {
    name: "a write without a revision leaves no doubt",
    file: "manager/store-access.ts",
    find: `is_certain: !has_capability(this.#store, "append")`,
    replace: "is_certain: true",
    found_by: { file: "manager/capabilities.test.ts", test: "with append and without replace" },
  },
  {
    name: "a record without a revision leaves no doubt",
    file: "manager/store-access.ts",
    find: "is_certain: revision !== undefined",
    replace: "is_certain: true",
    found_by: { file: "manager/failed-saves.test.ts", test: "a write behind load" },
  },
  {
    name: "without revisions every record is taken for ours",
    file: "manager/save.ts",
    find: "record.revision === undefined ? stored.history !== this.history :",
    replace: "record.revision === undefined ? true :",
    found_by: { file: "manager/failed-saves.test.ts", test: "the retry of a failed write" },
  },

  // A failure that something else clears.
  {
    name: "any success clears every failure",
    file: "manager/events.ts",
    find: "clear_failure(operation: Tracked, session_id: string): void {",
    replace: "clear_failure(operation: Tracked, session_id: string): void { this.#failures.clear();",
    found_by: { file: "manager/failed-saves.test.ts", test: "does not make a failed save good" },
  },
  {
    name: "a new history replaces the one that waits",
    file: "manager/session-state.ts",
    find: "if (version?.history !== this.history || version.given !== undefined) {",
    replace: "if (version?.given === undefined) this.versions.pop(); {",
    found_by: "fuzzer",
  },

  // A check that is not repeated behind a wait.
  {
    name: "load() acts though a turn came between",
    file: "manager/operations/load.ts",
    find: "conversation.require_no_turn_since(epoch);\n  if (",
    replace: "if (",
    found_by: "fuzzer",
  },
  {
    name: "rewind() acts though a turn came between",
    file: "manager/operations/rewind.ts",
    find: "await make_cut(store, cut) : undefined;\n        conversation.require_no_turn_since(epoch);",
    replace: "await make_cut(store, cut) : undefined;",
    found_by: { file: "manager/turns-meanwhile.test.ts", test: "rewind is refused where a turn fails" },
  },
  {
    name: "fork() acts though a turn came between",
    file: "manager/operations/fork.ts",
    find: "require_unchanged();\n    emit_saved();",
    replace: "emit_saved();",
    found_by: "fuzzer",
  },
  {
    name: "delete() acts though a turn came between",
    file: "manager/operations/delete.ts",
    find: "conversation.require_no_turn_since(epoch);",
    replace: "",
    found_by: "fuzzer",
  },
  {
    name: "delete() clears a conversation that went on",
    file: "manager/operations/delete.ts",
    find: "require_unchanged();\n    conversation.clear();",
    replace: "conversation.clear();",
    found_by: { file: "manager/turns-meanwhile.test.ts", test: "completes before any call that delete" },
  },
  {
    name: "turns do not move the epoch",
    file: "manager/conversation.ts",
    find: "if (epoch.turns !== this.#turns) {",
    replace: "if (false) {",
    found_by: "fuzzer",
  },
  {
    name: "the end of a turn does not move the epoch",
    file: "manager/conversation.ts",
    find: `if (this.#phase === "turn") {`,
    replace: "if (false) {",
    found_by: { file: "manager/turns-meanwhile.test.ts", test: "a cascade over the current session" },
  },
  {
    name: "a turn that tells of its end alone does not move the epoch",
    file: "manager/conversation.ts",
    find: "this.#turns += 1; //",
    replace: "//",
    found_by: { file: "manager/turns-meanwhile.test.ts", test: "a conversation that has no state" },
  },
  {
    name: "start_new() does not move the epoch",
    file: "manager/conversation.ts",
    find: "this.#starts += 1;",
    replace: "",
    found_by: "fuzzer",
  },

  // A task of the queue that waits for the queue.
  {
    name: "a draft waits for the first save of its session",
    file: "manager/drafts.ts",
    find: "return this.#parts.queue.save_in_background(session);",
    replace: "this.#parts.queue.save_in_background(session); while (session.stored === undefined) await next_turn();",
    found_by: "fuzzer",
  },

  // Turns without a session.
  {
    name: "a turn without a session is not reported",
    file: "manager/current-session.ts",
    find: "if (context !== undefined) {",
    replace: "if (false) {",
    found_by: "fuzzer",
  },
  {
    name: "load() drops turns without a session",
    file: "manager/operations/load.ts",
    find: "await current.store_turns();",
    replace: "",
    found_by: "fuzzer",
  },
  {
    name: "fork() drops turns without a session",
    file: "manager/operations/fork.ts",
    find: "await current.store_turns();",
    replace: "",
    found_by: { file: "manager/no-session.test.ts", test: "stores the turns that are in no session" },
  },
  {
    name: "start_new() drops turns without a session",
    file: "manager/session-manager.ts",
    find: "current.store_turns_later();",
    replace: "",
    found_by: "fuzzer",
  },
  {
    name: "turns without a session that could not be stored are not tried again",
    file: "manager/current-session.ts",
    find: "this.#sessionless.forEach(({ session }) => queue.update_dirty(session));",
    replace: "",
    found_by: { file: "manager/no-session.test.ts", test: "those turns are stored by flush" },
  },

  // The first turn.
  {
    name: "start_new() is accepted in the first turn",
    file: "manager/conversation.ts",
    find: `(this.#phase !== "idle" ||`,
    replace: `(this.#phase === "ending" ||`,
    found_by: { file: "manager/busy.test.ts", test: "in the first turn of a manager without a session" },
  },
  {
    name: "start_new() is accepted in a turn",
    file: "manager/session-manager.ts",
    find: "conversation.require_idle();\n    current.store_turns_later();",
    replace: "current.store_turns_later();",
    found_by: "fuzzer",
  },

  // Drafts.
  {
    name: "a draft outlives its turn",
    file: "manager/current-session.ts",
    find: "drafts.complete_if_held(session, live);",
    replace: "",
    found_by: { file: "manager/answered-drafts.test.ts", test: "does not come back when its turn is cut away" },
  },

  // Turns and answers of the store that cannot be.
  {
    name: "a turn that cannot be stored stops the save",
    file: "manager/history.ts",
    find: "problem ??= { error: error as SessionError, content: message?.content };",
    replace: "throw error;",
    found_by: { file: "manager/unstorable-turns.test.ts", test: "is left out, and later turns" },
  },
  {
    name: "malformed messages are stored",
    file: "messages.ts",
    find: "let problem = problem_of_message(message);",
    replace: "let problem: string | undefined;",
    found_by: { file: "manager/unstorable-turns.test.ts", test: "is left out, and later turns" },
  },
  {
    name: "entries of a list without an id are sessions",
    file: "manager/store-access.ts",
    find: `?.id === "string"`,
    replace: `?.id !== ""`,
    found_by: { file: "manager/foreign-stores.test.ts", test: "leaves that out and reports it" },
  },
  {
    name: "a list need not be an array",
    file: "manager/store-access.ts",
    find: "if (!Array.isArray(entries)) {",
    replace: "if (false) {",
    found_by: { file: "manager/foreign-stores.test.ts", test: "where a store's list is" },
  },
  {
    name: "anything that a store loads is a session",
    file: "manager/store-access.ts",
    find: "if (record !== undefined && !(",
    replace: "if (false && !(",
    found_by: { file: "manager/foreign-stores.test.ts", test: "where a store loads" },
  },

  // Listeners.
  {
    name: "a listener's promise that rejects is not handled",
    file: "manager/events.ts",
    find: "Promise.resolve(result).catch((error: unknown) => this.#listener_failed(event, error));",
    replace: "",
    found_by: "fuzzer",
  },

  // Copies.
  {
    name: "messages are not copied when they are captured",
    file: "manager/history.ts",
    find: "copies.forEach(([at, copy]) => this.#copies.set(at, copy));",
    replace: "",
    found_by: { file: "manager/edits-in-place.test.ts", test: "is not stored with the turn that was complete" },
  },

  // Runtimes without disposal symbols.
  {
    name: "disposal needs the runtime's symbol",
    file: "disposal.ts",
    find: ` ?? Symbol.for("Symbol.dispose")`,
    replace: "",
    found_by: { file: "manager/runtimes.test.ts", test: "without disposal symbols" },
  },
  {
    name: "async disposal needs the runtime's symbol",
    file: "disposal.ts",
    find: ` ?? Symbol.for("Symbol.asyncDispose")`,
    replace: "",
    found_by: { file: "manager/runtimes.test.ts", test: "without disposal symbols" },
  },

  // Forks and loads.
  {
    name: "of an id that occurs twice the first one counts",
    file: "lineage.ts",
    find: "messages.findLastIndex(",
    replace: "messages.findIndex(",
    found_by: { file: "lineage.test.ts", test: "the last occurrence counts" },
  },
  {
    name: "load() begins a session where every one is damaged",
    file: "manager/operations/load.ts",
    find: "if (found === undefined && corrupt !== undefined) {",
    replace: "if (false) {",
    found_by: { file: "manager/damaged-everywhere.test.ts", test: "is refused and begins nothing" },
  },
  {
    name: "load() drops what save() was asked for meanwhile",
    file: "manager/operations/load.ts",
    find: "if (family.dirty_sessions([id]).length === 0) {",
    replace: "{",
    found_by: { file: "manager/overlapping-states.test.ts", test: "is asked to store while" },
  },
  {
    name: "rewind() drops what save() was asked for meanwhile",
    file: "manager/operations/rewind.ts",
    find: "if (session.is_dirty) {\n          throw",
    replace: "if (false) {\n          throw",
    found_by: { file: "manager/overlapping-states.test.ts", test: "is asked to store while" },
  },
  {
    name: "a failed cut leaves no doubt",
    file: "manager/operations/rewind.ts",
    find: "queue.request_save_again(session, live); //",
    replace: "//",
    found_by: { file: "manager/operations/rewind-failures.test.ts", test: "is taken back by the next flush" },
  },

  // Copies of histories.
  {
    name: "a retry writes over a copy in which somebody went on",
    file: "manager/store-access.ts",
    find: "return { id, revision: there.revision, is_certain: false };",
    replace: "return { id, ...(await this.put(id, messages, metadata, there.revision ?? null)) };",
    found_by: { file: "manager/replaced.test.ts", test: "in which somebody went on" },
  },
  {
    name: "a retry writes over a copy that became another history",
    file: "manager/store-access.ts",
    find: "return this.create(randomUUID(), messages, metadata);",
    replace: "return { id, ...(await this.put(id, messages, metadata, there.revision ?? null)) };",
    found_by: { file: "manager/replaced.test.ts", test: "in which somebody went another way" },
  },
  {
    name: "a retry does not look for the copy of the attempt before",
    file: "manager/store-access.ts",
    find: "const there = await this.load(id);",
    replace: "const there: StoredSession | undefined = undefined;",
    found_by: { file: "manager/replaced.test.ts", test: "in which somebody went on" },
  },
  {
    name: "a replaced history is not kept",
    file: "manager/fork-protection.ts",
    find: `const is_kept = policy === "keep" &&`,
    replace: "const is_kept = false &&",
    found_by: "fuzzer",
  },

  // Children and deletions.
  {
    name: "a child's first write does not wait for the parent's",
    file: "manager/save-queue.ts",
    find: "new WriteQueue(parent?.settled())",
    replace: "new WriteQueue()",
    found_by: { file: "manager/children.test.ts", test: "is written behind the parent's pending writes" },
  },
  {
    name: "two managers write one session at once",
    file: "manager/session-state.ts",
    find: "readonly writes = new WriteQueue();",
    replace: "readonly writes = { run: <T>(task: () => Promise<T>) => task() };",
    found_by: { file: "manager/operations/deletion.test.ts", test: "waits for a child's save" },
  },
  {
    name: "a save in flight brings a deleted session back",
    file: "manager/operations/delete.ts",
    find: "unlock.push(await shared.lock());",
    replace: "",
    found_by: { file: "manager/operations/deletion.test.ts", test: "waits for a child's save" },
  },
  {
    name: "the current session inherits from a parent that is deleted",
    file: "manager/fork-protection.ts",
    find: "store.note_materialized(id);",
    replace: "",
    found_by: { file: "manager/operations/deletion.test.ts", test: "are saved into the whole fork" },
  },
  {
    name: "a session of turns without a session is deleted although the conversation went on",
    file: "manager/current-session.ts",
    find: "return [...(session ? [session] : []), ...this.#sessionless.map((turns) => turns.session)];",
    replace: "return session ? [session] : [];",
    found_by: { file: "manager/no-session.test.ts", test: "makes the deletion fail" },
  },
  {
    name: "save() leaves a fork attached whose parent has lost messages",
    file: "manager/save.ts",
    find: "const holds_all = is_parent_cut || common < inherited;",
    replace: "const holds_all = common < inherited;",
    found_by: { file: "manager/inherited-messages.test.ts", test: "what the parent has lost" },
  },
  {
    name: "a retry writes over a kept version that somebody rewound",
    file: "manager/store-access.ts",
    find: "if (begins_with(ours, there.messages) && is_as_written) {",
    replace: "if (begins_with(ours, there.messages)) {",
    found_by: { file: "manager/replaced.test.ts", test: "that somebody rewound" },
  },
  {
    name: "flush() does not retry what failed",
    file: "manager/save-queue.ts",
    find: "await this.save(session).catch(fail);",
    replace: "",
    found_by: "fuzzer",
  },
];
