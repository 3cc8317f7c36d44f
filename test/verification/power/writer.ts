import fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileLayer, OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import { seeded_random } from "../../support/random.js";
import "../lock-kind.js";
import { run_manager } from "./manager-program.js";
import { run_store } from "./store-program.js";
import type { WriterTask } from "./writer-task.js";

const task = JSON.parse(process.argv[2] ?? "") as WriterTask;
const acknowledgements = fs.openSync(task.acknowledgements, "a");
let acknowledged = 0;
let operations = 0;

function acknowledge(what: string): void {
  fs.writeSync(acknowledgements, `${what}\n`);
  acknowledged += 1;
  if (task.stop_after.includes(acknowledged)) {
    stop();
  }
}

/** Whoever watches copies the disk now. */
function stop(): void {
  process.kill(process.pid, "SIGSTOP");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); // another thread may have been told first
}

/** Another program on the same disk, which syncs now and then, so that the system writes down all that is pending. */
function other_program(): () => void {
  const path = join(task.root, "..", "another file");
  const file = fs.openSync(path, "w");
  const { below } = seeded_random(task.seed);
  return () => {
    if (below(25) === 0) {
      fs.writeSync(file, "more");
      fs.fsyncSync(file);
    }
  };
}

function without_syncs({ without }: WriterTask): FileLayer {
  const skipped = (name: (typeof without)[number]) => without.includes(name);
  const file_of = (file: OpenFile): OpenFile => ({
    stat: () => file.stat(),
    read: (buffer, position) => file.read(buffer, position),
    write: (data, position) => file.write(data, position),
    truncate: (size) => file.truncate(size),
    close: () => file.close(),
    sync: async () => (skipped("sync") ? undefined : file.sync()),
    datasync: async () => (skipped("datasync") ? undefined : file.datasync()),
  });
  return {
    ...NODE_FILE_LAYER,
    open: async (path, how) => file_of(await NODE_FILE_LAYER.open(path, how)),
    create: async (path, mode) => file_of(await NODE_FILE_LAYER.create(path, mode)),
    sync_directory: async (path) => (skipped("sync_directory") ? undefined : NODE_FILE_LAYER.sync_directory(path)),
  };
}

const write_other = task.durable ? () => undefined : other_program();
const layer = new HookedLayer(
  () => {
    operations += 1;
    write_other();
    if (task.stop_before.includes(operations)) {
      stop();
    }
  },
  { inner: task.without.length > 0 ? without_syncs(task) : NODE_FILE_LAYER },
);
const store = new FileSessionStore(task.root, { format: task.format, durable: task.durable }, layer);
await (task.program === "store" ? run_store(task, store, acknowledge) : run_manager(task, store, acknowledge));
