import {
  InMemorySessionStore,
  type SessionDraft,
  type SessionMetadata,
  type StoredSession,
} from "@simulacra-ai/session";
import { outcome_of, type FullStore, message } from "../../stores/helpers.js";
import { type Change, FIRST_DATE, type Text } from "./store-commands.js";

const LONG = 33_500;

export function messages_of(texts: readonly Text[], count: number) {
  return texts.map(({ text, is_long }, n) =>
    message(is_long ? text.padEnd(LONG, "long ") : text, { id: `m${count}.${n}` }),
  );
}

/** Drafts are of prompts, which have ids; `session` is as it was before. */
function draft_of(change: Change, count: number, session: StoredSession | undefined): SessionDraft {
  const known = { another: undefined, same: session?.draft?.prompt, over: session?.messages.at(-1) }[change.drafts];
  const [prompt = message("", { id: `d${count}` }), ...partial] = messages_of(change.texts, count);
  return {
    prompt: known ?? { ...prompt, id: `d${count}` },
    ...(partial[0] && { partial: { role: "assistant", content: partial[0].content } }),
    updated_at: change.metadata["updated_at"],
  } as SessionDraft;
}

export interface Answer {
  /** `"done"`, or the code of an error. */
  outcome: string;
  /** Of `delete` and `update`. */
  result: boolean | undefined;
  /** Of `append` and `replace`. */
  revision: string | undefined;
}

/** Does to a store what a command says; `revision` is in its own tokens. */
export async function apply(
  store: FullStore,
  change: Change,
  { revision, count, session }: { revision: string; count: number; session: StoredSession | undefined },
): Promise<Answer> {
  const { id, op, parent, is_dated } = change;
  const prompt = change.has_prompt ? session?.draft?.prompt : undefined;
  const messages = [...(prompt ? [prompt] : []), ...messages_of(change.texts, count)];
  const { updated_at, ...rest } = change.metadata;
  const dates = is_dated ? { created_at: FIRST_DATE, ...rest, updated_at } : rest;
  const metadata: Partial<SessionMetadata> = op === "update" && is_dated ? { ...rest, ...at(updated_at) } : dates;
  const answer: Answer = { outcome: "", result: undefined, revision: undefined };
  const perform = async () => {
    switch (op) {
      case "save":
        return store.save(id, messages, metadata);
      case "fork":
        return store.save(id, messages, { ...metadata, parent_id: parent, kind: "fork", fork_message_count: 1 });
      case "append":
        answer.revision = (await store.append(id, messages, { revision, metadata })).revision;
        return undefined;
      case "replace": {
        const expected = change.revision === "null" ? null : revision;
        answer.revision = (await store.replace(id, messages, { revision: expected, metadata })).revision;
        return undefined;
      }
      case "update":
        answer.result = await store.update(id, metadata);
        return undefined;
      case "rename":
        answer.result = await store.update(id, {
          label: "name",
          label_source: "user",
          ...(is_dated && at(updated_at)),
        });
        return undefined;
      case "draft":
        return store.set_draft(id, draft_of(change, count, session));
      case "drop_draft":
        return store.set_draft(id, undefined);
      case "delete":
        answer.result = await store.delete(id);
    }
  };
  answer.outcome = await outcome_of(perform());
  return answer;
}

function at(updated_at: unknown): Partial<SessionMetadata> {
  return { updated_at } as Partial<SessionMetadata>;
}

/** Metadata, whatever the order of their keys. */
export function plain(metadata: SessionMetadata): string {
  return JSON.stringify(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A session and its draft in one text, without its revision. */
export async function session_text(store: FullStore, id: string): Promise<{ text: string; revision?: string }> {
  let found: { text: string; revision?: string } = { text: "gone" };
  const outcome = await outcome_of(
    store.load(id).then((session) => {
      if (session !== undefined) {
        const text = `${plain(session.metadata)} ${JSON.stringify(session.messages)} ${JSON.stringify(session.draft)}`;
        found = { text, ...(session.revision !== undefined && { revision: session.revision }) };
      }
    }),
  );
  return outcome === "done" ? found : { text: outcome };
}

export async function list_text(store: FullStore, query?: Parameters<FullStore["list"]>[0]): Promise<string> {
  let text = "";
  const outcome = await outcome_of(store.list(query).then((entries) => (text = entries.map(plain).join("\n"))));
  return outcome === "done" ? text : outcome;
}

/** The same sessions in a store of their own. */
export async function copy_of_memory(store: InMemorySessionStore): Promise<InMemorySessionStore> {
  const copy = new InMemorySessionStore();
  for (const { id } of await store.list()) {
    const session = await store.load(id);
    await copy.save(id, session?.messages ?? [], session?.metadata);
    await copy.set_draft(id, session?.draft);
  }
  return copy;
}
