import type { ModelRequest, ScriptedStep } from "@simulacra-ai/core";

/** A script that repeats the question: replies of the same text and millisecond would have the same id. */
export function echo({ messages }: ModelRequest): ScriptedStep {
  const last = messages.at(-1)?.content.at(-1);
  return { text: `re: ${last?.type === "text" ? last.text : last?.type}` };
}
