import type { Message } from "@simulacra-ai/core";
import { SessionError } from "../../../src/errors.js";

/** What an actor asked of the store, and what came of it. */
export interface Call {
  actor: number;
  id: string;
  asked: Asked;
  /** Between these two steps it took effect, if it did. */
  began: number;
  /** `undefined`: it was never answered. */
  ended?: number;
  answer?: Answer;
}

export type Asked =
  | { kind: "append"; revision: string; texts: string[] }
  | { kind: "replace"; revision: string | null; texts: string[] }
  | { kind: "save"; texts: string[] }
  | { kind: "update"; label: string }
  | { kind: "delete" }
  | { kind: "flush" }
  | { kind: "load" }
  | { kind: "list" };

export type Answer =
  | { kind: "revision"; revision: string }
  | { kind: "done" }
  | { kind: "found"; existed: boolean }
  | { kind: "session"; session: Session | undefined }
  | { kind: "entry"; entry: { message_count: number; label: string | undefined } | undefined }
  /** It failed: the code of the error. */
  | { kind: "failed"; code: string; reason: string };

/** A session as its readers see it. */
export interface Session {
  texts: string[];
  label: string | undefined;
  /** `undefined`: nobody has seen it yet. */
  revision: string | undefined;
}

export function failure(error: unknown): Answer {
  const code = error instanceof SessionError ? error.code : "none";
  return { kind: "failed", code, reason: String(error) };
}

export function message(text: string): Message {
  return { role: "user", id: `id of ${text.slice(0, 20)}`, content: [{ type: "text", text }] };
}

/** What identifies each message. */
export function texts_of(messages: readonly Message[]): string[] {
  return messages.map(({ content: [first] }) => short(first?.type === "text" ? first.text : "no text"));
}

/** Long texts are there to fill files, not reports. */
export function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 10)} and ${text.length - 10} more` : text;
}

/** In few words, for a report. */
export function describe_call({ actor, id, asked, answer, began, ended }: Call): string {
  const plain = (value: unknown) => JSON.stringify(value)?.replaceAll('"', "") ?? "nothing";
  return `${began}-${ended ?? ""} ${actor}: ${id} ${plain(asked)} → ${plain(answer)}`;
}
