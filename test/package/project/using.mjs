import assert from "node:assert/strict";
import { InMemorySessionStore, SessionManager } from "@simulacra-ai/session";

/** What `using` and `await using` call, with the syntax where the runtime has it. */
function dispose_by_syntax(manager, kind) {
  const AsyncFunction = (async () => undefined).constructor;
  try {
    return new AsyncFunction("resource", `{ ${kind} held = resource; }`)(manager);
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw error;
    }
    return kind === "using" ? manager[Symbol.dispose]() : manager[Symbol.asyncDispose]();
  }
}

for (const kind of ["using", "await using"]) {
  const conversation = { messages: [], load() {}, clear() {}, on() {}, off() {} };
  const manager = new SessionManager(new InMemorySessionStore(), conversation);
  let disposed = 0;
  manager.on("dispose", () => (disposed += 1));
  manager.start_new("a label");
  await dispose_by_syntax(manager, kind);
  assert.equal(disposed, 1, kind);
  assert.throws(() => manager.start_new(), { code: "invalid_state" });
}
