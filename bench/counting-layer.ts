import { basename } from "node:path";
import type { FileLayer, OpenFile } from "../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../src/stores/file/fs/node-file-layer.js";

/** Node's file system, counting what the store asks of it. */
export interface CountingLayer {
  layer: FileLayer;
  /** All that was handed to `write`: snapshots, journals, temporary files. */
  readonly bytes_written: number;
  /** How often each file was opened to be read, by name; attempts that found nothing do not count. */
  readonly reads: ReadonlyMap<string, number>;
}

export function counting_layer(base: FileLayer = NODE_FILE_LAYER): CountingLayer {
  let bytes_written = 0;
  const reads = new Map<string, number>();
  const counted = (file: OpenFile): OpenFile => {
    const write = file.write.bind(file);
    return Object.assign(file, {
      async write(data: Uint8Array, position: number): Promise<number> {
        const written = await write(data, position);
        bytes_written += written;
        return written;
      },
    });
  };
  return {
    layer: {
      ...base,
      async open(path, how) {
        const file = counted(await base.open(path, how));
        if (how === "read") {
          reads.set(basename(path), (reads.get(basename(path)) ?? 0) + 1);
        }
        return file;
      },
      async create(path, mode) {
        return counted(await base.create(path, mode));
      },
    },
    get bytes_written() {
      return bytes_written;
    },
    reads,
  };
}
