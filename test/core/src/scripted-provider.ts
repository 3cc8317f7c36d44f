// Of the module, so that faked timers never stall a stream, whenever the global ones were replaced.
import { setImmediate as next_round, setTimeout as after } from "node:timers";
import type {
  AssistantContent,
  AssistantMessage,
  CancellationToken,
  ModelProvider,
  ModelRequest,
  StreamReceiver,
  Usage,
} from "./types.js";

/** How the provider answers one request. Without `content` and `text` the reply is the text "ok". */
export interface ScriptedStep {
  content?: AssistantContent[];
  text?: string;
  /** Of the message; generated where missing, as are those of contents. */
  id?: string;
  timestamp?: number;
  usage?: Usage;
  stop_reason?: string;
  stop_details?: unknown;
  /** In how many pieces each content arrives; 1 where missing. */
  chunks?: number;
  /** A real pause before each piece; without it the next one comes with the next round of the event loop. */
  delay_ms?: number;
  /** The request fails with this, before any stream. */
  fail_request?: unknown;
  /** The stream fails with this, after half of the first content. */
  fail_stream?: unknown;
  /** Awaited when all has been streamed, before the message is completed. Cancelling does not wait for it. */
  gate?: Promise<void>;
}

/** Steps in order, read when they are due, so that later ones may be added; or what to answer to each request. */
export type Script = readonly ScriptedStep[] | ((request: ModelRequest) => ScriptedStep | Promise<ScriptedStep>);

class Cursor {
  readonly #script: Script;
  readonly #next: ScriptedStep[] = [];
  #position = 0;

  constructor(script: Script) {
    this.#script = script;
  }

  enqueue(step: ScriptedStep): void {
    this.#next.push(step);
  }

  async take(request: ModelRequest): Promise<ScriptedStep> {
    const queued = this.#next.shift();
    if (queued) return queued;
    if (typeof this.#script === "function") return this.#script(request);
    const step = this.#script[this.#position++];
    if (!step) throw new Error("the script has no step left");
    return step;
  }
}

/** Answers from a script, which all its clones share. */
export abstract class ScriptedProvider implements ModelProvider {
  protected readonly cursor: Cursor;

  constructor(script: Script | Cursor = []) {
    this.cursor = script instanceof Cursor ? script : new Cursor(script);
  }

  /** Has this step answer before the rest of the script does. */
  enqueue(step: ScriptedStep): void {
    this.cursor.enqueue(step);
  }

  async execute_request(request: ModelRequest, receiver: StreamReceiver, token: CancellationToken): Promise<void> {
    receiver.before_request(request);
    receiver.request_raw(request);
    const taken = this.cursor.take(request);
    if (await is_cancelled(taken, token)) {
      receiver.cancel();
      return;
    }
    const step = await taken;
    if ("fail_request" in step) throw step.fail_request;
    receiver.response_raw({ status: 200 });
    await this.deliver(stream(step, receiver, token), receiver);
  }

  abstract clone(): ScriptedProvider;

  protected abstract deliver(streamed: Promise<void>, receiver: StreamReceiver): void | Promise<void>;
}

/** `execute_request` returns when the reply is complete. */
export class AwaitingProvider extends ScriptedProvider {
  clone(): AwaitingProvider {
    return new AwaitingProvider(this.cursor);
  }

  protected async deliver(streamed: Promise<void>): Promise<void> {
    await streamed;
  }
}

/** `execute_request` returns when the stream has begun; the reply comes later, as with the shipped providers. */
export class StreamingProvider extends ScriptedProvider {
  clone(): StreamingProvider {
    return new StreamingProvider(this.cursor);
  }

  protected deliver(streamed: Promise<void>, receiver: StreamReceiver): void {
    streamed.catch((error: unknown) => receiver.error(error));
  }
}

/** Runs up to `message_start` before it first waits. */
async function stream(step: ScriptedStep, receiver: StreamReceiver, token: CancellationToken): Promise<void> {
  const chunks = step.chunks ?? 1;
  const usage = step.usage ?? {};
  const message = reply_of(step);
  let streamed: AssistantContent[] = [];
  const progress = () => ({ message: { ...message, content: streamed }, usage });

  receiver.start_message(progress());
  for (const [index, content] of message.content.entries()) {
    for (let chunk = 1; chunk <= chunks; chunk++) {
      if (await is_cancelled(pause(step.delay_ms), token)) {
        receiver.cancel();
        return;
      }
      const piece = part_of(content, chunk / chunks);
      streamed = [...message.content.slice(0, index), piece];
      receiver.stream_raw({ index, chunk });
      if (chunk === 1) receiver.start_content({ content: piece, ...progress() });
      receiver.update_content({ content: piece, ...progress() });
      receiver.update_message(progress());
      if ("fail_stream" in step && chunk >= chunks / 2) {
        receiver.error(step.fail_stream);
        return;
      }
    }
    receiver.complete_content({ content, ...progress() });
  }
  if (await is_cancelled(step.gate ?? (message.content.length ? undefined : pause(step.delay_ms)), token)) {
    receiver.cancel();
  } else if ("fail_stream" in step) {
    receiver.error(step.fail_stream);
  } else {
    await receiver.complete_message({ message, usage, ...ending_of(step, message) });
  }
}

function reply_of(step: ScriptedStep): AssistantMessage {
  return {
    ...(step.timestamp !== undefined && { timestamp: step.timestamp }),
    role: "assistant",
    content: step.content ?? [{ type: "text", text: step.text ?? "ok" }],
    ...(step.id !== undefined && { id: step.id }),
  };
}

function ending_of(step: ScriptedStep, message: AssistantMessage) {
  const asks_for_tools = message.content.some((content) => content.type === "tool");
  return {
    stop_reason: step.stop_reason ?? (asks_for_tools ? "tool_use" : "end_turn"),
    ...("stop_details" in step && { stop_details: step.stop_details }),
  };
}

/** Returns the part of a content that has arrived after a fraction of its pieces. */
function part_of(content: AssistantContent, fraction: number): AssistantContent {
  if (content.type === "text") return { ...content, text: beginning_of(content.text, fraction) };
  if (content.type === "thinking") return { ...content, thought: beginning_of(content.thought, fraction) };
  return content;
}

function beginning_of(text: string, fraction: number): string {
  return text.slice(0, Math.round(text.length * fraction));
}

function pause(delay_ms: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (delay_ms === undefined) next_round(() => resolve());
    else after(resolve, delay_ms);
  });
}

/** Waits for `done` or for cancellation. Returns true where the token is cancelled. */
async function is_cancelled(done: Promise<unknown> | undefined, token: CancellationToken): Promise<boolean> {
  if (done) await Promise.race([done, token.cancelled]);
  return token.is_cancellation_requested;
}
