import { basename } from "node:path";
import { has_code, is_error, reason_of, SessionError } from "../../../errors.js";
import { is_errno, NAME_REFUSALS } from "./file-layer.js";

/** Runs a task. Errors of the operating system become those of this package. */
export async function guarded<T>(session_id: string | undefined, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw storage_error(error, session_id);
  }
}

function storage_error(error: unknown, session_id: string | undefined): SessionError {
  if (error instanceof SessionError) {
    return has_code(error, "corrupt") && session_id !== undefined && error.session_id === undefined
      ? new SessionError(error.code, error.message, { cause: error.cause, session_id, path: error.path })
      : error;
  }
  const { dest, path: of } = Object(error) as { dest?: string; path?: string };
  const path = is_error(error) && of !== undefined ? String(dest ?? of) : undefined;
  if (session_id !== undefined && is_errno(error, ...NAME_REFUSALS) && path && basename(path).startsWith(session_id)) {
    return refused_id(session_id, error);
  }
  const full = is_errno(error, "ENOSPC", "EDQUOT") ? "the disk is full: " : "";
  const message = `the storage failed: ${full}${reason_of(error)}`;
  return new SessionError("storage", message, { cause: error, session_id, path });
}

/** The error of an id that the file system does not take as a name. */
export function refused_id(session_id: string, cause: unknown): SessionError {
  const message = `session id ${JSON.stringify(session_id)}: the file system refuses the name: ${reason_of(cause)}`;
  return new SessionError("invalid_id", message, { cause, session_id });
}
