import type { FileSessionStore, StoredSession } from "@simulacra-ai/session";
import { user } from "../../support/messages.js";
import { plan, type Step } from "./plan.js";
import type { WriterTask } from "./writer-task.js";

/** All steps of all lanes; each is acknowledged with its lane. */
export async function run_store(
  { seed, steps, lanes }: WriterTask,
  store: FileSessionStore,
  acknowledge: (what: string) => void,
): Promise<void> {
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      for (const step of plan(seed, lane, steps)) {
        await perform(store, step);
        acknowledge(String(lane));
      }
    }),
  );
}

async function perform(store: FileSessionStore, step: Step): Promise<void> {
  const { id } = step;
  const messages = "texts" in step ? step.texts.map((text) => user(text)) : [];
  const stored = async () => (await store.load(id)) as StoredSession & { revision: string };
  switch (step.kind) {
    case "save":
      return store.save(id, messages, { label: step.label, parent_id: step.parent_id as string });
    case "replace": {
      const revision = (await store.load(id))?.revision ?? null;
      const metadata = { label: step.label, parent_id: step.parent_id as string };
      return void (await store.replace(id, messages, { revision, metadata }));
    }
    case "append":
      return void (await store.append(id, messages, { revision: (await stored()).revision }));
    case "update":
      return void (await store.update(id, { label: step.label, parent_id: step.parent_id as string }));
    case "flush":
      return store.flush(id);
    case "delete":
      return void (await store.delete(id));
  }
}
