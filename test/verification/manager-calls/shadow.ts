import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "@simulacra-ai/session";
import { replies_of } from "./texts.js";
import type { Method } from "./stores.js";

/** A session as its store holds it, without what it inherits. */
export interface Shadow {
  replies: string[];
  message_ids: string[];
  kind: string | undefined;
  /** When each writer last changed the messages, or which ones are inherited. */
  changed: ReadonlyMap<unknown, number>;
}

/** The sessions of a run as the calls that took effect made them: known without asking the store. */
export class Shadows {
  readonly sessions = new Map<string, Shadow>();
  /** The kind of each session, deleted ones included. */
  readonly #kinds = new Map<string, string | undefined>();
  readonly #makers = new Map<string, unknown>();
  /** Every id, in the order of its first write. */
  readonly ids: string[] = [];
  /** In how many sessions each reply is. */
  readonly #copies = new Map<string, number>();

  note_id(id: string): void {
    if (!this.ids.includes(id)) {
      this.ids.push(id);
    }
  }

  /** Wrote the session first. */
  maker_of(id: string): unknown {
    return this.#makers.get(id);
  }

  kind_of(id: unknown): string | undefined {
    return typeof id === "string" ? this.#kinds.get(id) : undefined;
  }

  holds(reply: string): boolean {
    return (this.#copies.get(reply) ?? 0) > 0;
  }

  /** True where a session other than this one holds the reply itself. */
  is_elsewhere(reply: string, id: string): boolean {
    const own = this.sessions.get(id)?.replies.includes(reply) ? 1 : 0;
    return (this.#copies.get(reply) ?? 0) > own;
  }

  /** Takes over what a call changed. Returns the replies that no session holds any more. */
  apply(method: Method, args: readonly unknown[], { writer, at }: { writer: unknown; at: number }): string[] {
    const id = args[0] as string;
    const before = this.sessions.get(id);
    if (method === "delete") {
      this.sessions.delete(id);
      return this.#recount(before, undefined);
    }
    if (method !== "save" && method !== "append" && method !== "replace") {
      return [];
    }
    this.note_id(id);
    const messages = args[1] as Message[];
    const metadata = (method === "save" ? args[2] : (args[2] as { metadata?: unknown } | undefined)?.metadata) as
      Partial<SessionMetadata> | undefined;
    const kept = method === "append" ? before : undefined;
    const message_ids = [...(kept?.message_ids ?? []), ...messages.flatMap((message) => message.id ?? [])];
    const is_fork_point_given = metadata?.fork_message_id !== undefined || metadata?.fork_message_count !== undefined;
    const is_changed = is_fork_point_given || message_ids.join() !== before?.message_ids.join();
    const after = {
      replies: [...(kept?.replies ?? []), ...replies_of(messages)],
      message_ids,
      kind: before?.kind ?? metadata?.kind,
      changed: is_changed ? new Map([...(before?.changed ?? []), [writer, at]]) : (before?.changed ?? new Map()),
    };
    this.sessions.set(id, after);
    this.#kinds.set(id, after.kind);
    this.#makers.set(id, this.#makers.get(id) ?? writer);
    return this.#recount(before, after);
  }

  #recount(before: Shadow | undefined, after: Shadow | undefined): string[] {
    const count = (reply: string, change: number) => this.#copies.set(reply, (this.#copies.get(reply) ?? 0) + change);
    new Set(after?.replies).forEach((reply) => count(reply, 1));
    new Set(before?.replies).forEach((reply) => count(reply, -1));
    return (before?.replies ?? []).filter((reply) => !this.holds(reply));
  }
}
