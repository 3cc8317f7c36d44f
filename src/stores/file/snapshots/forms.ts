import type { FileLayer } from "../fs/file-layer.js";
import { JSON_FORM } from "./json-form.js";
import { NDJSON_FORM } from "./ndjson-form.js";
import type { SessionPaths } from "../session-paths.js";
import type { SnapshotForm } from "./snapshot-form.js";
import type { FileSessionFormat } from "../format/snapshot-header.js";

/** In the order in which they count, where a session exists in both. */
export const FORMS: readonly SnapshotForm[] = [NDJSON_FORM, JSON_FORM];

export function form_of(format: FileSessionFormat): SnapshotForm {
  return format === "json" ? JSON_FORM : NDJSON_FORM;
}

/** The form in which a session is stored; `undefined`: there is none. */
export async function find_form(layer: FileLayer, paths: SessionPaths): Promise<SnapshotForm | undefined> {
  for (const form of FORMS) {
    if (await layer.stat(paths.file(form.head_ending))) {
      return form;
    }
  }
  return undefined;
}
