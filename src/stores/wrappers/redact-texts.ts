import { is_envelope } from "./envelope.js";

/** What the contract says of an object: everything else in it is somebody's text, the names of its keys too. */
interface Shape {
  /** Keys whose values tell sessions and messages apart, and are no texts of anybody's. */
  kept: readonly string[];
  /** Keys whose values are redacted, and their names are not. */
  named: readonly string[];
  /** Of what shape a value is, by key; of an array, each item. */
  inside?: ReadonlyMap<string, Shape>;
}

const ANY: Shape = { kept: [], named: [] };

const CONTENT: Shape = {
  kept: ["id", "type", "model_kind", "tool_request_id"],
  named: ["timestamp", "extended", "text", "thought", "data", "tool", "params", "result"],
};

export const MESSAGE: Shape = {
  kept: ["id", "role"],
  named: ["timestamp", "content", "extended", "usage"],
  inside: new Map([["content", CONTENT]]),
};

export const METADATA: Shape = {
  kept: ["id", "created_at", "updated_at", "provider", "model", "parent_id", "kind", "fork_message_id", "label_source"],
  named: [
    ...["message_count", "detached", "is_checkpoint", "fork_message_count", "label", "custom", "damaged"],
    ...["checkpoint_state", "usage"],
  ],
  inside: new Map<string, Shape>([
    ["checkpoint_state", { kept: ["message_id"], named: ["summary"] }],
    [
      "usage",
      {
        kept: [],
        named: ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "requests"],
      },
    ],
  ]),
};

/** A copy, with its keys in the same order, of which every text is what `redact` makes of it. */
export function redact_texts(value: unknown, redact: (text: string) => string, shape: Shape = ANY): unknown {
  if (typeof value === "string") {
    return redact(value);
  }
  if (Array.isArray(value)) {
    return value.map((item) => redact_texts(item, redact, shape));
  }
  if (typeof value !== "object" || value === null || (shape === CONTENT && is_envelope(value))) {
    return value;
  }
  const redacted = new Map<string, unknown>();
  for (const [key, item] of Object.entries(value)) {
    const is_kept = shape.kept.includes(key);
    const name = is_kept || shape.named.includes(key) ? key : unused(redact(key), redacted);
    redacted.set(name, is_kept ? item : redact_texts(item, redact, shape.inside?.get(key)));
  }
  return Object.fromEntries(redacted);
}

/** Names that were different and are the same now are numbered: nothing takes the place of another. */
function unused(name: string, taken: ReadonlyMap<string, unknown>): string {
  let free = name;
  for (let n = 2; taken.has(free); n += 1) {
    free = `${name} ${n}`;
  }
  return free;
}
