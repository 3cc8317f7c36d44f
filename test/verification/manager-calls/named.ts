import type { MessageRef, SessionRef } from "./calls.js";
import type { Shadows } from "./shadow.js";
import type { User } from "./user.js";

/** Names neither a session nor a message. */
export const UNKNOWN = "00000000-0000-4000-8000-000000000000";

/** The sessions and messages that calls name. */
export class Named {
  readonly #shadows: Shadows;
  readonly #has_revisions: boolean;
  readonly #users: readonly User[];

  /** `has_revisions`: several may write to one session without harm. Without, each user keeps to sessions of its own. */
  constructor(shadows: Shadows, { has_revisions, users }: { has_revisions: boolean; users: readonly User[] }) {
    this.#shadows = shadows;
    this.#has_revisions = has_revisions;
    this.#users = users;
  }

  session({ life, own_ids }: User, ref: SessionRef): string {
    const known = this.#has_revisions ? this.#shadows.ids : own_ids;
    if (ref === "unknown") {
      return UNKNOWN;
    }
    if (ref === "current" && life.session_id !== undefined) {
      return life.session_id;
    }
    const children = known.filter((id) => this.is_child(id));
    if (ref === "child" && children.length > 0) {
      return children.at(-1) ?? UNKNOWN;
    }
    return known[typeof ref === "number" ? ref % Math.max(1, known.length) : 0] ?? UNKNOWN;
  }

  message({ life, conversation }: User, session_id: string | undefined, ref: MessageRef): string {
    if (ref === "unknown" || session_id === undefined) {
      return UNKNOWN;
    }
    const own = this.#shadows.sessions.get(session_id)?.message_ids ?? [];
    const shown = session_id === life.session_id ? conversation.messages.flatMap(({ id }) => id ?? []) : own;
    return shown[ref % Math.max(1, shown.length)] ?? UNKNOWN;
  }

  is_child(id: string): boolean {
    return this.#shadows.sessions.get(id)?.kind === "child";
  }

  /** The newest session may be anybody's, and a child's. */
  may_load_any({ has_others, life, children }: User): boolean {
    if (life.options.on_replace === "overwrite" && children.length > 0) {
      return false;
    }
    return this.#has_revisions || (this.#users.length === 1 && !has_others);
  }
}
