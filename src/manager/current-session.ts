import type { Message } from "@simulacra-ai/core";
import { no_active_session, SessionError, session_not_found } from "../errors.js";
import type { ResolvedSession } from "../lineage.js";
import type { ActiveSession } from "./active-session.js";
import type { ConversationLink } from "./conversation-link.js";
import type { ManagerEmitter } from "./emitter.js";
import type { SavePipeline } from "./save-pipeline.js";
import type { Capture } from "./session-writer.js";
import type { StorePort } from "./store-port.js";
import { messages_event, type Messages } from "./timeline.js";

/** What an engine is made of, for the operations that stand in files of their own. Those run inside its queue. */
export interface EngineParts {
  readonly port: StorePort;
  readonly pipeline: SavePipeline;
  readonly events: ManagerEmitter;
  readonly current: CurrentSession;
}

/** A conversation and the session that it is saved to: the one place where both change together. */
export class CurrentSession {
  readonly conversation: ConversationLink;
  readonly #events: ManagerEmitter;
  readonly #gives_labels: boolean;
  #session: ActiveSession | undefined;

  constructor(conversation: ConversationLink, events: ManagerEmitter, { auto_slug }: { auto_slug: boolean }) {
    this.conversation = conversation;
    this.#events = events;
    this.#gives_labels = auto_slug;
  }

  get session(): ActiveSession | undefined {
    return this.#session;
  }

  get id(): string | undefined {
    return this.#session?.id;
  }

  /** @throws {SessionError} `invalid_state`. */
  require(): ActiveSession {
    if (this.#session === undefined) {
      throw no_active_session();
    }
    return this.#session;
  }

  /** @throws {SessionError} `invalid_state` where a turn is in flight. */
  require_idle_if(changes_conversation: boolean): void {
    if (changes_conversation) {
      this.conversation.require_idle();
    }
  }

  /** Goes on in a session with the conversation as it is, its checkpoint included. */
  take_over(session: ActiveSession): void {
    this.#session = session;
  }

  /** Goes on in a session, or in none; the conversation's checkpoint becomes that of the session. */
  activate(session: ActiveSession | undefined): void {
    this.#session = session;
    this.conversation.checkpoint_state = session?.checkpoint_state;
  }

  /** Puts stored messages into the conversation; the session is the current one from then on. */
  show(session: ActiveSession, messages: Message[]): void {
    this.conversation.require_idle();
    this.conversation.load(messages);
    if (!messages.some((message) => message.id === session.checkpoint_state?.message_id)) {
      session.checkpoint_state = undefined;
    }
    this.activate(session);
    session.timeline.extend(this.conversation.messages);
    if (this.#events.has_listeners("load")) {
      this.#events.emit("load", messages_event(session.id, messages, session.draft));
    }
  }

  /** Takes the conversation's messages, and what follows from them, for a save. */
  capture(session: ActiveSession, messages: Messages): Capture {
    const timeline = session.follow(messages);
    if (this.#gives_labels) {
      session.note_auto_label(messages);
    }
    session.note_checkpoint(this.conversation.checkpoint_state, messages);
    return {
      session,
      timeline,
      messages: Object.isFrozen(messages) ? messages : messages.slice(),
      exact: false,
      noted: session.noted,
    };
  }
}

/** @throws {SessionError} `not_found`. */
export async function require_resolved(port: StorePort, id: string): Promise<ResolvedSession> {
  const resolved = await port.resolve(id);
  if (resolved === undefined) {
    throw session_not_found(id);
  }
  return resolved;
}

/** Tells what a session's parents no longer hold. */
export function report_missing(events: ManagerEmitter, { missing }: ResolvedSession, session_id: string): void {
  for (const what of missing) {
    events.report(new SessionError("lineage", what, { session_id }), "load", { session_id });
  }
}
