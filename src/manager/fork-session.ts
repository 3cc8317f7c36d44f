import { ActiveSession } from "./active-session.js";
import { report_missing, require_resolved, type EngineParts } from "./current-session.js";
import { plan_fork } from "./fork-plan.js";
import { secure_fork } from "./inheritance.js";
import type { ForkOptions } from "./types.js";

/**
 * Stores a fork of a session and goes on in it, with what it inherits in the conversation; a detached one leaves the
 * conversation as it is. Where it throws, nothing is left of the fork. Returns its session.
 */
export async function fork_session(
  { port, pipeline, events, current }: EngineParts,
  parent_id: string,
  options: ForkOptions,
  takes_label: boolean,
): Promise<ActiveSession> {
  const { conversation } = current;
  const attached = !options.detached;
  const parent = await require_resolved(port, parent_id);
  const { inherited, metadata } = plan_fork(parent, options, takes_label);
  const session = ActiveSession.create(metadata, inherited);
  const messages = attached ? parent.messages.slice(0, inherited) : conversation.messages.slice();
  if (!attached) {
    session.note_checkpoint(conversation.checkpoint_state, messages);
  }
  current.require_idle_if(attached);
  try {
    const { timeline, noted } = session;
    await pipeline.write({ session, timeline, messages, exact: false, noted });
    if (inherited > 0) {
      const whole = await secure_fork(port, session.id, parent.record, messages);
      if (whole !== undefined) {
        session.make_self_contained(whole.revision);
      }
    }
    if (attached) {
      current.show(session, messages);
      report_missing(events, parent, session.id);
    } else {
      timeline.extend(messages);
      current.take_over(session);
    }
  } catch (error) {
    pipeline.forget(session);
    await port.store.delete(session.id).catch(() => undefined); // the first error says more
    throw error;
  }
  return session;
}
