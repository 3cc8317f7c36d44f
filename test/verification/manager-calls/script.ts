import type { ModelRequest, ScriptedStep } from "@simulacra-ai/core";
import type { Answer } from "./calls.js";
import { text_of } from "./texts.js";

export type Summary = "ok" | "fail" | "stuck";

/** Answers the prompts of a run. Each prompt and each reply has a text of its own. */
export class Script {
  readonly #answers = new Map<string, Answer>();
  readonly #answered = new Map<string, number>();
  readonly #summaries: Summary[] = [];
  #summarized = 0;

  /** A prompt that nobody has sent yet. */
  add_prompt(answer: Answer): string {
    const prompt = `t${this.#answers.size + 1}`;
    this.#answers.set(prompt, answer);
    return prompt;
  }

  add_summary(how: Summary): void {
    this.#summaries.push(how);
  }

  get next_summary(): Summary | undefined {
    return this.#summaries[0];
  }

  answer({ messages }: ModelRequest): ScriptedStep {
    const prompt = text_of(messages.at(-1));
    const answer = this.#answers.get(prompt);
    if (answer === undefined) {
      this.#summarized += 1;
      const is_failure = this.#summaries.shift() === "fail";
      return is_failure ? { fail_request: new Error("no summary") } : { text: `summary ${this.#summarized}` };
    }
    const before = this.#answered.get(prompt) ?? 0;
    this.#answered.set(prompt, before + 1);
    return step_of(before === 0 ? answer : "ok", `r${prompt.slice(1)}${"'".repeat(before)}`);
  }
}

function step_of(answer: Answer, text: string): ScriptedStep {
  const usage = { output_tokens: 1 };
  switch (answer) {
    case "ok":
      return { text, usage };
    case "slow":
      return { text, usage, chunks: 4 };
    case "fail_request":
      return { fail_request: new Error("no network") };
    case "fail_stream":
      return { text, chunks: 2, fail_stream: new Error("cut off") };
    case "hang":
      return { text, gate: new Promise<void>(() => undefined) };
  }
}
