import { readFileSync } from "node:fs";
import type { Message } from "@simulacra-ai/core";

/** The conversation that the demo replays: 893 messages between a person and a coding agent. */
export function read_recording(): Message[] {
  const url = new URL("../test/data/coding-session.json", import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as Message[];
}

export function step(number: number, title: string): void {
  console.log(`\n${bold(`${String(number).padStart(2)}  ${title}`)}`);
}

export function note(text: string): void {
  console.log(`    ${dim(text)}`);
}

/** Prints a claim with a tick; one that does not hold ends the demo. */
export function claim(holds: boolean, text: string): asserts holds {
  if (!holds) {
    throw new Error(`this does not hold: ${text}`);
  }
  console.log(`    ${green("✓")} ${text}`);
}

/** Runs a part of the demo; where it fails, the reason is printed and the exit code is 1. */
export async function failing_clearly(part: () => Promise<void>): Promise<void> {
  try {
    await part();
  } catch (error) {
    console.error(`\n ✗ ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

export function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} KB`;
}

/** The beginning of a session's id, enough to tell the few of them apart. */
export function short(id: string): string {
  return id.slice(0, 8);
}

export const bold = styled(1, 22);
export const dim = styled(2, 22);
export const green = styled(32, 39);

function styled(on: number, off: number): (text: string) => string {
  const in_colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
  return (text) => (in_colour ? `\u001b[${on}m${text}\u001b[${off}m` : text);
}
