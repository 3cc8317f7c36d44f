import fs from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The parent's next line; `undefined` where there will be none. */
export async function hear(): Promise<string | undefined> {
  const { value, done } = (await input.next()) as IteratorResult<string, undefined>;
  return done ? undefined : value;
}

/** Without delay: what a process has said before it is killed has been said. */
export function say(...words: (string | number)[]): void {
  fs.writeSync(1, `${words.join(" ").replaceAll("\n", " ")}\n`);
}
