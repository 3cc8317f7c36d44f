import type { Message } from "@simulacra-ai/core";

const MODEL_KIND = "simulacra-session/encrypted";
const HEAD = /^v1\.([\w-]{1,64})\.([\w-]{16})\./;
const MIN_SEALED = 22;

/** An encrypted text in its parts; `undefined`: this is none. */
export function parts_of(envelope: unknown): { key_id: string; nonce: string; sealed: string } | undefined {
  const match = typeof envelope === "string" ? HEAD.exec(envelope) : null;
  if (match === null) {
    return undefined;
  }
  const [head, key_id = "", nonce = ""] = match;
  const sealed = match.input.slice(head.length);
  // Looks for the first wrong character. A pattern of millions of right ones would overflow the stack.
  return sealed.length >= MIN_SEALED && !/[^\w-]/.test(sealed) ? { key_id, nonce, sealed } : undefined;
}

/** The content of a message that is encrypted. */
export function in_envelope(data: string): { type: "raw"; model_kind: string; data: string }[] {
  return [{ type: "raw", model_kind: MODEL_KIND, data }];
}

/** The encrypted text that is the content of a message, or `undefined`. */
export function envelope_in({ content }: Pick<Message, "content">): string | undefined {
  const [only, ...others] = Array.isArray(content) ? content : [];
  const is_ours = only?.type === "raw" && only.model_kind === MODEL_KIND && others.length === 0;
  return is_ours ? only.data : undefined;
}

/** Whether a content is an encrypted text of ours and nothing else. */
export function is_envelope(content: unknown): boolean {
  const { type, model_kind, data, ...others } = (content ?? {}) as Record<string, unknown>;
  const is_ours = type === "raw" && model_kind === MODEL_KIND && Object.keys(others).length === 0;
  return is_ours && parts_of(data) !== undefined;
}
