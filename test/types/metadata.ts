// Metadata, errors and helpers as applications use them: compiled by `npm run typecheck`, never run.
import type { CheckpointState, Usage } from "@simulacra-ai/core";
import {
  apply_query,
  compare_sessions,
  merge_metadata,
  session_kind,
  SessionError,
  type MetadataPatch,
  type SessionErrorCode,
  type SessionKind,
  type SessionMetadata,
  type SessionUsage,
} from "@simulacra-ai/session";

/** Only the keys that every session of the published package has. */
export const least: SessionMetadata = {
  id: "a",
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  message_count: 0,
};

/** Every key of the published package. */
export const published: Required<
  Pick<
    SessionMetadata,
    | "id"
    | "created_at"
    | "updated_at"
    | "provider"
    | "model"
    | "label"
    | "message_count"
    | "parent_id"
    | "fork_message_id"
    | "detached"
    | "is_checkpoint"
    | "checkpoint_state"
  >
> = {
  ...least,
  provider: "anthropic",
  model: "some-model",
  label: "A label",
  parent_id: "b",
  fork_message_id: "m1",
  detached: true,
  is_checkpoint: false,
  checkpoint_state: { message_id: "m1", summary: "What was said." },
};

export const complete: SessionMetadata = {
  ...published,
  kind: "fork",
  fork_message_count: 2,
  label_source: "user",
  usage: { input_tokens: 1, output_tokens: null, requests: 1 },
  custom: { tags: ["work"], nested: { any: null } },
  damaged: "the file is cut short",
};

export const kind: SessionKind = session_kind(least);
export const summary: string | undefined = (complete.checkpoint_state satisfies CheckpointState | undefined)?.summary;
export const usage: Usage | undefined = complete.usage satisfies SessionUsage | undefined;
export const sorted: SessionMetadata[] = apply_query([least, published].sort(compare_sessions), { limit: 1 });
export const removal: MetadataPatch = { label: null, custom: undefined };
export const merged: SessionMetadata = merge_metadata(least, removal, { id: "a", message_count: 1 });

export function describe_error(error: unknown): string {
  if (!(error instanceof SessionError)) {
    return "unknown";
  }
  const { name, message, code, cause, session_id, path }: SessionError = error;
  const known: SessionErrorCode = code;
  switch (known) {
    case "not_found":
    case "conflict":
    case "corrupt":
    case "invalid_id":
    case "invalid_input":
    case "invalid_state":
    case "lineage":
    case "storage":
      return [name, message, session_id ?? "", path ?? "", typeof cause].join(" ");
    default:
      return known satisfies never;
  }
}

// @ts-expect-error a session has an id
export const without_id: SessionMetadata = { created_at: "", updated_at: "", message_count: 0 };
// @ts-expect-error there is no such key
export const unknown_key: SessionMetadata = { ...least, title: "a" };
// @ts-expect-error dates are ISO 8601 strings
export const with_date: SessionMetadata = { ...least, created_at: new Date() };
// @ts-expect-error there is no such kind
export const with_kind: SessionMetadata = { ...least, kind: "branch" };
// @ts-expect-error stored metadata hold no `null`
export const with_null: SessionMetadata = { ...least, label: null };
// @ts-expect-error usage counts requests
export const with_usage: SessionMetadata = { ...least, usage: { input_tokens: 1 } };
// @ts-expect-error codes are a closed list
export const with_code = new SessionError("oops", "message");
