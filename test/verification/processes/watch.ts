import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { hear, say } from "./child-io.js";
import { tag_of } from "./tags.js";

export interface WatchTask {
  root: string;
}

/**
 * Reads until it is told something: every session is whole, and only grows. Says `wrong …`, and in the end `reads {n}`.
 */
export async function watch({ root }: WatchTask): Promise<void> {
  const store = new FileSessionStore(root);
  const seen = new Map<string, { tags: string[]; listed: number }>();
  let is_over = false;
  void hear().then(() => (is_over = true));
  let reads = 0;
  say("watching");
  while (!is_over) {
    for (const { id, damaged, message_count } of await store.list()) {
      const before = seen.get(id) ?? { tags: [], listed: 0 };
      if (damaged !== undefined || message_count < Math.max(before.listed, before.tags.length)) {
        say(
          "wrong",
          `${id} is listed with ${message_count} messages after ${before.listed}: ${damaged ?? "went back"}`,
        );
      }
      seen.set(id, { ...before, listed: message_count });
    }
    for (const [id, { tags: before, listed }] of seen) {
      try {
        check_file(root, id);
        const tags = (await store.load(id))?.messages.map(tag_of) ?? [];
        if (tags.length < listed || before.some((tag, index) => tags[index] !== tag)) {
          say("wrong", `${id} went from ${before.length} messages, ${listed} listed, to ${tags.length}`);
        }
        seen.set(id, { tags, listed });
      } catch (error) {
        say("wrong", id, String(error));
      }
      reads += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (is_over) {
        break;
      }
    }
  }
  say("reads", reads);
}

/** For a reader that knows no journal: a whole JSON text at every moment. */
function check_file(root: string, id: string): void {
  const path = join(root, `${id}.json`);
  if (fs.existsSync(path)) {
    JSON.parse(fs.readFileSync(path, "utf8"));
  }
}
