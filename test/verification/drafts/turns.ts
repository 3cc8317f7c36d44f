import type { ScriptedStep } from "@simulacra-ai/core";

/** How a turn ends, unless its process dies. After one that hurries the next begins before it is stored. */
export type Ending = "answered" | "hurries" | "fails" | "breaks" | "cancelled";

const ENDINGS: readonly Ending[] = ["answered", "breaks", "answered", "hurries", "answered", "cancelled", "fails"];
const CHUNKS = 6;

export function ending_of(turn: number): Ending {
  return ENDINGS[turn % ENDINGS.length] as Ending;
}

export function prompt_of(turn: number): string {
  return `question ${turn} ${"?".repeat(turn % 50)}`;
}

/** Some are longer than a page. */
export function answer_of(turn: number): string {
  return `answer ${turn} `.padEnd(turn % 4 === 0 ? 6_000 : 200, `${turn},`);
}

/** Which turn a prompt or an answer is of; `undefined`: nobody sent it. */
export function turn_of(text: string): number | undefined {
  const number = /^(?:question|answer) (\d+) /.exec(text)?.[1];
  if (number === undefined) {
    return undefined;
  }
  const turn = Number(number);
  return text === prompt_of(turn) || answer_of(turn).startsWith(text) ? turn : undefined;
}

/** The text of a message, or of what there is of it. */
export function text_of(message: { content?: readonly { type: string; text?: unknown }[] } | undefined): string {
  const [first] = message?.content ?? [];
  return typeof first?.text === "string" ? first.text : "";
}

/** What the model does with a prompt. */
export function step_of(turn: number): ScriptedStep {
  const text = answer_of(turn);
  const streamed = { text, chunks: CHUNKS, delay_ms: 3 + 2 * (turn % 3) };
  switch (ending_of(turn)) {
    case "fails":
      return { fail_request: new Error("no network") };
    case "breaks":
      return { ...streamed, fail_stream: new Error("cut") };
    default:
      return streamed;
  }
}
