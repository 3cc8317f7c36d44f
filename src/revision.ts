import { invalid_input } from "./errors.js";

/** The revision that an `append` or `replace` goes on from. @throws {SessionError} `invalid_input` without options. */
export function revision_of<R extends string | null>(
  options: { revision: R } | null | undefined,
  session_id: string,
): R {
  if (typeof options !== "object" || options === null) {
    throw invalid_input("the revision that is to be continued is missing", { session_id });
  }
  return options.revision;
}
