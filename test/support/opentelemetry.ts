import diagnostics from "node:diagnostics_channel";
import { SpanStatusCode, trace, type Span } from "@opentelemetry/api";
import { MANAGER_CHANNEL, STORE_CHANNEL, type SessionTrace } from "@simulacra-ai/session";

const tracer = trace.getTracer("sessions");
const spans = new WeakMap<SessionTrace, Span>();

/** A span for every operation of stores and managers, until the returned function is called. */
export function trace_sessions(): () => void {
  const subscribers = {
    start(operation: SessionTrace) {
      spans.set(operation, tracer.startSpan(`session ${operation.operation}`));
    },
    end() {},
    asyncStart() {},
    asyncEnd(operation: SessionTrace) {
      const { session_id, store, count, bytes, error } = operation;
      const span = spans.get(operation);
      span?.setAttributes({ session_id, store, count, bytes, "error.type": error?.code });
      if (error) span?.setStatus({ code: SpanStatusCode.ERROR, message: error.code ?? error.name });
      span?.end();
    },
    error() {},
  };
  const channels = [STORE_CHANNEL, MANAGER_CHANNEL].map((name) =>
    diagnostics.tracingChannel<unknown, SessionTrace>(name),
  );
  channels.forEach((channel) => channel.subscribe(subscribers));
  return () => channels.forEach((channel) => channel.unsubscribe(subscribers));
}
