import { session_not_found } from "../../../errors.js";
import { merge_metadata } from "../../../metadata.js";
import type { SessionMetadata } from "../../../types.js";
import type { Outcome } from "../session-changes.js";
import type { SessionFiles } from "../session-files.js";

/** The result of `FileSessionStore.repair`. */
export interface FileSessionRepair {
  /** False: the session can be read as it is. */
  repaired: boolean;
  /** How many messages the session has now. */
  messages: number;
  /** Where the damaged files are. */
  set_aside: string[];
}

/** Makes a damaged session readable; see `FileSessionStore.repair`. */
export async function repair_session(files: SessionFiles, id: string): Promise<Outcome<FileSessionRepair>> {
  const view = await files.read_all().catch(async (error: unknown) => {
    const damage = await files.damage_of(error);
    if (damage === "never a session") {
      throw error;
    }
    return damage;
  });
  if (view === undefined) {
    throw session_not_found(id);
  }
  if (view !== "damaged") {
    return {
      result: { repaired: false, messages: view.messages?.length ?? 0, set_aside: [] },
      state: undefined,
    };
  }
  const { salvage, form, set_aside } = await files.salvage();
  const texts = salvage.messages.map((message) => JSON.stringify(message));
  const message_count = texts.length;
  const { updated_at } = salvage.metadata;
  const metadata = merge_metadata(salvage.metadata as SessionMetadata, { updated_at }, { id, message_count });
  const state = await files.write(texts, metadata, undefined, form, { succession: salvage.succession });
  await files.sweep_links(metadata.parent_id);
  return { result: { repaired: true, messages: message_count, set_aside }, state };
}
