import { changed_meanwhile, has_code } from "../errors.js";

const ATTEMPTS = 8;

/** Repeats a write while other writers come between. The task reads the records anew each time. */
export async function until_settled<T>(id: string, task: (attempt: number) => Promise<T | "again">): Promise<T> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      const result = await task(attempt);
      if (result !== "again") {
        return result;
      }
    } catch (error) {
      const is_moved = has_code(error, "conflict", "not_found");
      if (!is_moved || attempt === ATTEMPTS) {
        throw error;
      }
    }
  }
  throw changed_meanwhile(id);
}
