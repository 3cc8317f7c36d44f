import { of_dead_process, with_left_lock } from "../crash-states/crash-model.js";
import { MemoryDisk, ROOT_INODE } from "../crash-states/memory-disk.js";
import { resized, written, type LogEntry } from "../crash-states/logged-disk.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";

/** What becomes of pages that a failed sync did not write. Either way the system takes them for written afterwards. */
export type FailedPages = "stay in memory" | "are dropped";

interface Contents {
  /** What the device holds. */
  synced: Buffer;
  /** What has been written since, in order. A sync brings these to the device, and no others. */
  dirty: LogEntry[];
}

type EntriesChange = Extract<LogEntry, { kind: "entries" }>;

/** A disk in memory, of which it is known what it still holds after a power cut. */
export class FaultyDevice {
  readonly layer = new RecordingLayer();
  readonly #files = new Map<number, Contents>();
  readonly #directories = new Map<number, Map<string, number>>([[ROOT_INODE, new Map()]]);
  #pending: EntriesChange[] = [];

  /** A sync of this file fails: what was not on the device yet never gets there, unless it is written again. */
  fail_sync(path: string, pages: FailedPages): void {
    this.#advance();
    const { inode } = this.layer.disk.find(path);
    const node = inode === undefined ? undefined : this.layer.disk.node(inode);
    if (inode === undefined || node?.kind !== "file") {
      return;
    }
    const contents = this.#contents(inode);
    contents.dirty = [];
    if (pages === "are dropped") {
      node.data = contents.synced;
    }
  }

  /** The device after a power cut: nothing that was not synced is on it. */
  after_power_cut(): MemoryDisk {
    this.#advance();
    const disk = new MemoryDisk();
    const add = (inode: number, name = ""): void => {
      const node = this.layer.disk.node(inode);
      if (node.kind === "directory") {
        const entries = new Map(this.#directories.get(inode));
        disk.put(inode, { ...node, entries });
        entries.forEach(add);
      } else if (node.kind === "link") {
        disk.put(inode, { ...node, target: of_dead_process(node.target) });
      } else {
        const { synced } = this.#contents(inode);
        disk.put(inode, { ...node, data: with_left_lock([name], inode, synced) });
      }
    };
    add(ROOT_INODE);
    return disk;
  }

  #contents(inode: number): Contents {
    let contents = this.#files.get(inode);
    if (contents === undefined) {
      contents = { synced: Buffer.alloc(0), dirty: [] };
      this.#files.set(inode, contents);
    }
    return contents;
  }

  #advance(): void {
    for (const entry of this.layer.log.splice(0)) {
      switch (entry.kind) {
        case "write":
        case "truncate":
          this.#contents(entry.inode).dirty.push(entry);
          break;
        case "sync": {
          const contents = this.#contents(entry.inode);
          contents.dirty.forEach((change) => (contents.synced = changed(contents.synced, change)));
          contents.dirty = [];
          break;
        }
        case "entries":
          this.#pending.push(entry);
          break;
        case "sync_directory":
          this.#sync_directory(entry.directory);
      }
    }
  }

  #sync_directory(synced: number): void {
    const touches = ({ changes }: EntriesChange) => changes.some(({ directory }) => directory === synced);
    for (const { directory, name, inode } of this.#pending.filter(touches).flatMap(({ changes }) => changes)) {
      const entries = this.#directories.get(directory) ?? new Map<string, number>();
      this.#directories.set(directory, entries);
      if (inode === undefined) {
        entries.delete(name);
      } else {
        entries.set(name, inode);
      }
    }
    this.#pending = this.#pending.filter((entry) => !touches(entry));
  }
}

function changed(data: Buffer, change: LogEntry): Buffer {
  switch (change.kind) {
    case "write":
      return written(data, change.position, change.data);
    case "truncate":
      return resized(data, change.size);
    default:
      return data;
  }
}
