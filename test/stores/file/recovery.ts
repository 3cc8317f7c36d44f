import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect } from "vitest";
import { loaded, message } from "../helpers.js";
import { append, inode, parsed, tree } from "./files.js";

/** A session as `content` gives it, without what the clock decides. */
export function timeless(found: string): string {
  return found.replace(/"(created_at|updated_at|revision)":"[^"]*"/g, '"$1":""');
}

/**
 * After a writer was killed: whoever writes next goes on from what is there, and leaves the session's own files and
 * links, and nothing else.
 */
export async function expect_recovery(root: string, store = new FileSessionStore(root)): Promise<void> {
  const before = await store.load("s");
  if (fs.existsSync(join(root, "s.json"))) {
    expect(parsed(root).messages.length).toBeLessThanOrEqual(before?.messages.length ?? 0);
  }
  if (before === undefined) {
    await store.save("s", [message("later")]);
  } else {
    await append(store, ["later"]);
  }
  const after = await loaded(new FileSessionStore(root));
  expect(after.messages).toEqual([...(before?.messages ?? []), message("later")]);
  expect(after.metadata).toMatchObject({
    ...before?.metadata,
    updated_at: after.metadata.updated_at,
    message_count: after.messages.length,
    created_at: after.metadata.created_at,
  });
  await store.flush();
  const { parent_id } = after.metadata;
  const files = fs.existsSync(join(root, "s.meta.json")) ? ["s.meta.json", "s.ndjson"] : ["s.json"];
  const linked = files.at(-1) ?? "";
  const links = parent_id === undefined ? [] : [`${parent_id}-forks/`, `${parent_id}-forks/${linked}`];
  const own = tree(root).filter((name) => !/\.(corrupt|conflict)-/.test(name));
  expect(own.join()).toBe([...links, ...files].sort().join());
  if (parent_id !== undefined) {
    expect(inode(root, `${parent_id}-forks`, linked)).toBe(inode(root, linked));
  }
  expect((await store.list())[0]).toEqual((await loaded(store)).metadata);
}
