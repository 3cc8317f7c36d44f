import { invalid_input } from "./errors.js";
import { json_of } from "./json.js";
import { has_message } from "./messages.js";
import type { SessionDraft } from "./types.js";

/** Whether the turn of a draft is among these messages: the draft is void then. */
export function holds_prompt(messages: readonly { id?: string }[], { prompt }: SessionDraft): boolean {
  return prompt.id !== undefined && has_message(messages, prompt.id);
}

/** Whether two drafts are of the same turn. */
export function same_prompt(one: SessionDraft, other: SessionDraft): boolean {
  return one.prompt.id === other.prompt.id && JSON.stringify(one.prompt) === JSON.stringify(other.prompt);
}

/**
 * A draft as it will be stored; `undefined`: there is to be none.
 * @throws {SessionError} `invalid_input` for what is no draft, or what JSON cannot hold.
 */
export function draft_to_json(draft: SessionDraft | undefined, session_id: string): string | undefined {
  if (draft === undefined) {
    return undefined;
  }
  const { prompt, partial, updated_at } = (draft as SessionDraft | null) ?? ({} as Partial<SessionDraft>);
  if (typeof prompt !== "object" || prompt === null || typeof updated_at !== "string") {
    throw invalid_input("a draft has a prompt and an updated_at", { session_id });
  }
  try {
    return json_of({ prompt, ...(partial !== undefined && { partial }), updated_at });
  } catch (error) {
    throw invalid_input("the draft cannot be written as JSON", { cause: error, session_id });
  }
}

/** The id of a message as databases keep and compare it: JSON, so that no line break is in it. */
export function prompt_mark({ id }: { id?: unknown }): string | undefined {
  return id === undefined ? undefined : JSON.stringify(id);
}
