import { ActiveSession } from "./active-session.js";
import type { EngineParts } from "./current-session.js";
import { rewind_latest } from "./rewind.js";
import { Timeline } from "./timeline.js";

/**
 * Cuts the current session after a message and shows what remains. What is not saved yet is part of what is cut.
 * Returns the id of the fork with the tail; `undefined`: there was nothing behind the message.
 */
export async function rewind_current(
  { port, pipeline, events, current }: EngineParts,
  message_id: string,
): Promise<string | undefined> {
  const { conversation } = current;
  const session = current.require();
  conversation.require_idle();
  const capture = current.capture(session, conversation.messages);
  await pipeline.write(capture);
  const rewound = await rewind_latest(port, session.id, message_id);
  const { metadata, messages, inherited, revision, fork_id } = rewound;
  if (fork_id === undefined && messages.length >= capture.messages.length) {
    return undefined;
  }
  const shorter = new ActiveSession(session.id, new Timeline(inherited), metadata);
  shorter.origin = session.origin;
  shorter.draft = session.draft;
  shorter.stored = { timeline: shorter.timeline, count: messages.length, revision };
  try {
    if (current.session === session) {
      current.show(shorter, messages); // unless `start_new` has gone on elsewhere meanwhile
    }
  } catch (error) {
    session.forget_revision();
    await rewound.undo().catch(() => undefined); // the first error says more, and the tail lives on
    throw error;
  }
  pipeline.wrote(session.id);
  if (fork_id !== undefined) {
    pipeline.wrote(fork_id);
  }
  try {
    await rewound.keep_late_forks();
  } catch (error) {
    events.report(error, "rewind", { session_id: session.id }); // the session itself is rewound
  }
  return fork_id;
}
