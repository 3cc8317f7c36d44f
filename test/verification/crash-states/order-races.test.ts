import { expect, test } from "vitest";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileStamp, OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import { user } from "../../support/messages.js";
import { content_of, messages_in, ROOT } from "./contents.js";
import { MemoryDisk } from "./memory-disk.js";
import { RecordingLayer } from "./recording-layer.js";

/*
 * Orders that no crash shows, because they are about two processes. A store that keeps them loses nothing; the same
 * store on a layer that makes it break them does.
 */

const is_snapshot = (path: string) => path.endsWith("/s.json");
const is_journal = (path: string) => path.endsWith("/s.journal");
const is_lock = (path: string) => path.endsWith("/s.lock");

async function append(store: FileSessionStore, text: string): Promise<unknown> {
  const revision = (await store.load("s"))?.revision ?? "";
  return store.append("s", [user(text, text)], { revision });
}

/** A session of `one` in the snapshot and `two` in the journal. */
async function with_journal(): Promise<{ disk: MemoryDisk; store: FileSessionStore }> {
  const disk = new MemoryDisk();
  const store = new FileSessionStore(ROOT, {}, new RecordingLayer(disk));
  await store.save("s", [user("one", "one")]);
  await append(store, "two");
  return { disk, store };
}

async function texts_on(disk: MemoryDisk): Promise<string[]> {
  return messages_in(await content_of(new RecordingLayer(disk), "s")).map(({ id }) => id ?? "");
}

/** Something happens right before the journal is opened. */
class InterruptedReader extends RecordingLayer {
  interrupt: () => Promise<unknown> = () => Promise.resolve();

  override async open(path: string): Promise<OpenFile> {
    if (is_journal(path)) {
      await this.interrupt();
    }
    return super.open(path);
  }
}

/** The snapshot is as it was before the journal was looked at, and nothing tells that it is another by now. */
class SnapshotFirst extends InterruptedReader {
  readonly #before: RecordingLayer;

  constructor(disk: MemoryDisk) {
    super(disk);
    this.#before = new RecordingLayer(disk.copy());
  }

  override async open(path: string): Promise<OpenFile> {
    return is_snapshot(path) ? this.#before.open(path) : super.open(path);
  }

  override async stat(path: string): Promise<FileStamp | undefined> {
    return is_snapshot(path) ? this.#before.stat(path) : super.stat(path);
  }
}

/** What a reader finds while another process folds the journal. */
async function read_beside_fold(layer_class: new (disk: MemoryDisk) => InterruptedReader): Promise<number> {
  const { disk, store } = await with_journal();
  const layer = new layer_class(disk);
  layer.interrupt = () => store.flush("s");
  return messages_in(await content_of(layer, "s")).length;
}

test("rule 34: a reader that reads the snapshot before the journal misses what was acknowledged", async () => {
  expect(await read_beside_fold(InterruptedReader)).toBe(2);
  expect(await read_beside_fold(SnapshotFirst)).toBe(1);
});

/** Never looks whether the lock is still its own. */
class UnawareOfLock extends RecordingLayer {
  #lock = "";

  override async symlink(target: string, path: string): Promise<void> {
    this.#lock = is_lock(path) ? target : this.#lock;
    return super.symlink(target, path);
  }

  override async readlink(path: string): Promise<string> {
    return is_lock(path) ? this.#lock : super.readlink(path);
  }

  override async unlink(path: string): Promise<void> {
    return is_lock(path) && (await this.stat(path)) === undefined ? undefined : super.unlink(path);
  }
}

/** Nor whether the journal that it writes to is still the session's. */
class UnawareOfAll extends UnawareOfLock {
  #journal: FileStamp | undefined;

  override async open(path: string, how?: string): Promise<OpenFile> {
    const file = await super.open(path);
    this.#journal = how === "modify" && is_journal(path) ? await file.stat() : this.#journal;
    return file;
  }

  override async stat(path: string): Promise<FileStamp | undefined> {
    return is_journal(path) && this.#journal !== undefined ? this.#journal : super.stat(path);
  }
}

/** A writer that is stopped before it writes, for so long that another one takes its lock over. */
async function append_beside_takeover(layer_class: new (disk: MemoryDisk) => RecordingLayer) {
  const { disk } = await with_journal();
  const layer = new layer_class(disk);
  const { reached, let_go } = layer.hold("write {id}.journal");
  const appended = append(new FileSessionStore(ROOT, {}, layer), "mine").then(
    () => "acknowledged",
    () => "refused",
  );
  await reached;
  const others = new RecordingLayer(disk);
  const dead = (await others.readlink(`${ROOT}/s.lock`)).replace(/^\d+/, "999999999");
  await others.unlink(`${ROOT}/s.lock`);
  await others.symlink(dead, `${ROOT}/s.lock`);
  const other = new FileSessionStore(ROOT, {}, others);
  await append(other, "theirs");
  await other.flush("s");
  await others.quiet();
  let_go();
  const outcome = await appended;
  return { outcome, texts: await texts_on(disk) };
}

test("rule 32: a writer that acknowledges without looking at lock and journal loses what it acknowledged", async () => {
  const texts = ["one", "two", "theirs"];
  expect(await append_beside_takeover(RecordingLayer)).toEqual({ outcome: "refused", texts });
  expect(await append_beside_takeover(UnawareOfLock)).toEqual({ outcome: "refused", texts });
  expect(await append_beside_takeover(UnawareOfAll)).toEqual({ outcome: "acknowledged", texts });
});

test("rule 32: a writer that has lost its lock begins no journal beside its successor's snapshot", async () => {
  const disk = new MemoryDisk();
  await new FileSessionStore(ROOT, {}, new RecordingLayer(disk)).save("s", [user("one", "one")]);
  const layer = new InterruptedReader(disk);
  const lock = `${ROOT}/s.lock`;
  let is_taken_over = false;
  layer.interrupt = async () => {
    const holder = await layer.readlink(lock).catch(() => undefined);
    if (holder !== undefined && !is_taken_over) {
      is_taken_over = true;
      const others = new RecordingLayer(disk);
      await others.unlink(lock);
      await others.symlink(holder.replace(/^\d+/, "999999999"), lock);
      await new FileSessionStore(ROOT, {}, others).save("s", [user("theirs", "theirs")]);
    }
  };
  await expect(append(new FileSessionStore(ROOT, {}, layer), "mine")).rejects.toMatchObject({ code: "conflict" });
  expect(is_taken_over).toBe(true);
  expect(await texts_on(disk)).toEqual(["theirs"]);
  expect(await layer.names(ROOT)).toEqual(["s.json"]);
});
