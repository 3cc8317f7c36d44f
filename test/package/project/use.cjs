const assert = require("node:assert/strict");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

/** The least that a conversation may be: one array, and listeners that nobody calls. */
function plain_conversation() {
  return {
    messages: [],
    load(messages) {
      this.messages = messages;
    },
    clear() {
      this.messages = [];
    },
    on() {},
    off() {},
  };
}

function say(conversation, text, reply) {
  conversation.messages.push({ role: "user", content: [{ type: "text", text }] });
  conversation.messages.push({ role: "assistant", content: [{ type: "text", text: reply }] });
}

async function save_and_resume({ SessionManager }, open) {
  const first = plain_conversation();
  const writer = new SessionManager(open(), first);
  const id = writer.start_new();
  say(first, "What is the capital of France?", "Paris.");
  await writer.save({ provider: "scripted" });
  say(first, "And of Spain?", "Madrid.");
  await writer.save();
  await writer[Symbol.asyncDispose]();

  const second = plain_conversation();
  const reader = new SessionManager(open(), second);
  await reader.load();
  assert.equal(reader.current_session_id, id);
  assert.deepEqual(second.messages, first.messages);
  const [entry, ...others] = await reader.list();
  assert.deepEqual(others, []);
  assert.equal(entry.id, id);
  assert.equal(entry.message_count, 4);
  assert.equal(entry.provider, "scripted");
  assert.equal(entry.label, "What is the capital of France?");
  assert.equal(await reader.delete(id), true);
  assert.deepEqual(await reader.list(), []);
  await reader[Symbol.asyncDispose]();
}

/** Uses the package as an application without the engine does. */
exports.use_package = async function use_package(session) {
  const root = mkdtempSync(join(tmpdir(), "consumer-"));
  try {
    await save_and_resume(session, () => new session.FileSessionStore(root));
  } finally {
    rmSync(root, { recursive: true });
  }
  const memory = new session.InMemorySessionStore();
  await save_and_resume(session, () => memory);
  await assert.rejects(memory.append("none", [], { revision: "x" }), (error) => {
    assert.ok(error instanceof session.SessionError);
    assert.equal(error.code, "not_found");
    return true;
  });
};
