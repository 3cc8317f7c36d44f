import { stdout } from "node:process";
import { PlainConversation } from "../support/plain-conversation.js";

/**
 * Loads the library with a `Symbol` that lacks `dispose` and `asyncDispose`, as in older runtimes. Uses a manager and
 * prints the results as JSON.
 */
const { Symbol: original } = globalThis;
const lacking = (description?: string | number) => original(description);
const missing: PropertyKey[] = ["dispose", "asyncDispose", "length", "name", "arguments", "caller"];
for (const key of Reflect.ownKeys(original).filter((name) => !missing.includes(name))) {
  const descriptor = Object.getOwnPropertyDescriptor(original, key);
  Object.defineProperty(lacking, key, { ...descriptor, configurable: true });
}
Object.assign(globalThis, { Symbol: lacking });

const library = await import("../../src/index.js");

type Method = (() => unknown) | undefined;

const [dispose, async_dispose] = [original.for("Symbol.dispose"), original.for("Symbol.asyncDispose")];
const method_of = (manager: object, key: symbol) => Reflect.get(manager, key) as Method;

const open = () => {
  const [store, conversation] = [new library.InMemorySessionStore(), new PlainConversation()];
  return { store, conversation, manager: new library.SessionManager(store, conversation) };
};

/** Calls a disposal method. Counts the messages that are stored in the end, and the listeners that are left. */
async function outcome_of(key: symbol) {
  const { store, conversation, manager } = open();
  const id = manager.start_new();
  conversation.turn("one");
  const returned = method_of(manager, key)?.call(manager);
  const is_promise = returned instanceof Promise;
  await returned;
  await manager.flush();
  const session = await store.load(id);
  return { is_promise, messages: session?.messages.length, listeners: conversation.listener_count };
}

stdout.write(
  JSON.stringify({
    natives: ["dispose", "asyncDispose"].filter((name) => name in Symbol),
    methods: [dispose, async_dispose].map((key) => typeof method_of(open().manager, key)),
    named_undefined: "undefined" in open().manager,
    dispose: await outcome_of(dispose),
    async_dispose: await outcome_of(async_dispose),
  }),
);
