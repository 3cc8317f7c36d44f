import { SessionError } from "../../errors.js";

const ATTEMPTS = 10;

/** Another program, which knows no locks, replaced a session's file while it was being changed: nothing was. */
export class ForeignWrite extends SessionError {
  constructor(session_id: string) {
    super("conflict", `session ${session_id} was changed by another program`, { session_id });
  }
}

/** Runs a change again where such a program came between: it then sees what that has written. */
export async function despite_foreign_writes<T>(change: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await change();
    } catch (error) {
      if (!(error instanceof ForeignWrite) || attempt === ATTEMPTS) {
        throw error;
      }
    }
  }
}
