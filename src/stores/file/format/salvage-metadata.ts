import type { Pause } from "../../../async/time-slicer.js";
import { parse_object } from "./corrupt.js";
import { any_end, scan_values, skip_mark, skip_space, value_end } from "./json-scanner.js";
import { scan_metadata } from "./json-text.js";
import type { FileMetadata, FileSessionFormat } from "./snapshot-header.js";

/** Reads the metadata in the bytes of a damaged head. */
export async function salvage_metadata(bytes: Buffer, format: FileSessionFormat, pause: Pause): Promise<FileMetadata> {
  if (format === "ndjson") {
    const value = parse_object(bytes.subarray(0, value_end(bytes, bytes.indexOf("{")) ?? 0));
    const { store: _store, ...metadata } = value ?? {};
    return metadata;
  }
  let whole: FileMetadata | undefined; // the keys of the file may have any order
  await scan_values(bytes, skip_space(bytes, skip_mark(bytes)), pause, (key, at) => {
    if (key === '"messages"') {
      return scan_values(bytes, at, pause, (_, item) => any_end(bytes, item));
    }
    const end = any_end(bytes, at);
    whole = key === '"metadata"' && end !== undefined ? parse_object(bytes.subarray(at, end)) : whole;
    return end;
  });
  const scanned = whole ?? scan_metadata(bytes);
  return scanned === undefined || scanned === "incomplete" ? {} : scanned;
}
