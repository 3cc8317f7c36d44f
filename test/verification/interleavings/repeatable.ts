import crypto from "node:crypto";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

type Uuid = ReturnType<typeof crypto.randomUUID>;

const random_uuid = crypto.randomUUID;
let next_uuid: (() => Uuid) | undefined;
crypto.randomUUID = (...options) => next_uuid?.() ?? random_uuid(...options);
syncBuiltinESMExports();

const RealDate = Date;
const NOW = RealDate.UTC(2026, 0, 1);

class StoppedDate extends RealDate {
  constructor(...parts: unknown[]) {
    super(...((parts.length === 0 ? [NOW] : parts) as [number]));
  }

  static override now(): number {
    return NOW;
  }
}

const read_file = fs.readFileSync;
const read = new Map<string, string>();

/** What the system says of a process is the same every time, too. */
function read_once(path: string, encoding: BufferEncoding): string {
  const text = read.get(path) ?? read_file(path, encoding);
  read.set(path, text);
  return text;
}

/**
 * Runs a task in which neither chance nor time makes a difference: each actor has its own row of tokens, and it is
 * always the same day. The same order then leaves the same bytes, and so do two that only look different.
 */
export async function repeatably<T>(actor: () => number, task: () => Promise<T>): Promise<T> {
  const counts = new Map<number, number>();
  next_uuid = () => {
    const owner = actor();
    const count = (counts.get(owner) ?? 0) + 1;
    counts.set(owner, count);
    return `${hex(count, 8)}-0000-4000-8000-${hex(owner, 4)}${hex(count, 8)}`;
  };
  globalThis.Date = StoppedDate as DateConstructor;
  fs.readFileSync = read_once as typeof fs.readFileSync;
  try {
    return await task();
  } finally {
    next_uuid = undefined;
    globalThis.Date = RealDate;
    fs.readFileSync = read_file;
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
