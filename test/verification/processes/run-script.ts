import { SessionManager } from "../../../src/manager/session-manager.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import { say } from "./child-io.js";
import { kill_switch, type KillMoment } from "./kill-switch.js";
import type { Step } from "./script.js";
import { tagged } from "./tags.js";

export interface ScriptTask {
  root: string;
  format: FileSessionFormat;
  steps: Step[];
  killed: KillMoment;
}

/** Until it is killed. Says `done {n}` after each step, `id {key} {id}` of each new session, and `saved {messages}` as auto-saves end. */
export async function run_script({ root, format, steps, killed }: ScriptTask): Promise<void> {
  const store = new FileSessionStore(root, { format });
  const conversation = new PlainConversation();
  const manager = new SessionManager(store, conversation, { auto_slug: false });
  manager.on("lifecycle_error", ({ error }) => say("error", String(error)));
  manager.on("save", ({ messages }) => say("saved", messages.length));
  const ids = new Map<string, string>();
  const name = (key: string, id: string | undefined) => {
    ids.set(key, id ?? "");
    say("id", key.replaceAll(" ", "_"), id ?? "");
  };
  const step_is_done = await kill_switch(killed);
  for (const [n, step] of steps.entries()) {
    await (step.do.startsWith("store ") ? run_on_store(store, step) : run_on_manager());
    say("done", n + 1);
    step_is_done();

    async function run_on_manager(): Promise<unknown> {
      const id = "id" in step ? (ids.get(step.id) ?? step.id) : "";
      switch (step.do) {
        case "start":
          name(step.key, manager.start_new(step.label));
          return manager.list({ limit: 1 }); // behind what is written in the background
        case "turns":
          for (const [question, answer] of step.turns) {
            conversation.messages.push(tagged(question), tagged(answer));
            conversation.emit("message_complete");
          }
          return manager.list({ limit: 1 });
        case "save":
          return manager.save({ label: step.label });
        case "rename":
          return manager.rename(id, step.label);
        case "fork":
          return name(step.key, await manager.fork(id, step.message_id ? { message_id: step.message_id } : {}));
        case "rewind":
          return name(step.key, await manager.rewind(step.message_id));
        case "load":
          return manager.load(id);
        case "delete":
          return manager.delete(id);
        case "flush":
          return manager.flush();
      }
    }
  }
}

async function run_on_store(store: FileSessionStore, step: Step): Promise<unknown> {
  const revision = async (id: string) => (await store.load(id))?.revision ?? "";
  switch (step.do) {
    case "store save":
      return store.save(step.id, step.tags.map(tagged), lineage(step));
    case "store replace":
      return store.replace(step.id, step.tags.map(tagged), {
        revision: await revision(step.id),
        metadata: lineage(step),
      });
    case "store append":
      return store.append(step.id, step.tags.map(tagged), { revision: await revision(step.id) });
    case "store update":
      return store.update(step.id, { label: step.label });
    case "store flush":
      return store.flush(step.id);
    case "store delete":
      return store.delete(step.id);
  }
}

/** For the sake of the link in the parent's folder: nothing is inherited. */
function lineage({ parent_id }: { parent_id?: string }) {
  return parent_id === undefined ? {} : { parent_id, detached: true };
}
