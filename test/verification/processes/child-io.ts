import fs from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** To wait for a while without doing anything else. */
const NEVER = new Int32Array(new SharedArrayBuffer(4));

/** The parent's next line; `undefined` where there will be none. */
export async function hear(): Promise<string | undefined> {
  const { value, done } = (await input.next()) as IteratorResult<string, undefined>;
  return done ? undefined : value;
}

/**
 * Without delay: what a process has said before it is killed has been said. Waits where the parent has yet to read what
 * was said before.
 */
export function say(...words: (string | number)[]): void {
  let rest = Buffer.from(`${words.join(" ").replaceAll("\n", " ")}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
        throw error;
      }
      Atomics.wait(NEVER, 0, 0, 1);
    }
  }
}
