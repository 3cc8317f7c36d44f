// Applications of a manager: compiled by `npm run typecheck`, never run.
import type { Conversation, LifecycleErrorEvent, Message } from "@simulacra-ai/core";
import {
  FileSessionStore,
  SessionManager,
  type ForkOptions,
  type SaveMetadata,
  type SessionManagerEvents,
  type SessionManagerOptions,
  type SessionMetadata,
  type SessionSnapshot,
} from "@simulacra-ai/session";

const STORE = new FileSessionStore("sessions");

export const all_options: Required<Pick<SessionManagerOptions, "auto_save" | "auto_slug">> = {
  auto_save: false,
  auto_slug: false,
};

export function construct(conversation: Conversation): SessionManager[] {
  return [
    new SessionManager(STORE, conversation),
    new SessionManager(STORE, conversation, {}),
    new SessionManager(STORE, conversation, { auto_save: true }),
    new SessionManager(STORE, conversation, all_options),
    // @ts-expect-error there is no such option
    new SessionManager(STORE, conversation, { autosave: true }),
    // @ts-expect-error options come last
    new SessionManager(STORE, { auto_save: true }),
  ];
}

export async function use(manager: SessionManager): Promise<void> {
  const id: string = manager.start_new();
  manager.start_new("a label");
  const current: string | undefined = manager.current_session_id;
  const is_loaded: boolean = manager.is_loaded;
  console.log(current, is_loaded);

  await manager.load();
  await manager.load(id);
  const options: ForkOptions = { detached: true };
  const forks: string[] = [
    await manager.fork(id),
    await manager.fork(id, options),
    await manager.fork(id, { message_id: "m1" }),
  ];
  const given: SaveMetadata = {
    label: "a",
    provider: "b",
    model: "c",
    parent_id: forks[0] ?? id,
    fork_message_id: "m1",
    detached: false,
    custom: { any: [1] },
  };
  await manager.save();
  await manager.save(given);
  await manager.rename(id, "another label");
  const entries: SessionMetadata[] = await manager.list();
  const roots: SessionMetadata[] = await manager.list({ kinds: ["root"], limit: 10 });
  const was_there: boolean = await manager.delete(id);
  await manager.flush();
  console.log(entries, roots, was_there);

  // @ts-expect-error it is read alone
  manager.current_session_id = id;
  // @ts-expect-error it is read alone
  manager.is_loaded = true;
  // @ts-expect-error a label is a string
  manager.start_new(1);
  // @ts-expect-error a parent is needed
  await manager.fork();
  // @ts-expect-error an id is a string
  await manager.fork(id, { message_id: 1 });
  // @ts-expect-error the store counts
  await manager.save({ message_count: 1 });
  // @ts-expect-error the manager decides on ids
  await manager.save({ id });
  // @ts-expect-error a label is needed
  await manager.rename(id);
  // @ts-expect-error `start_new` returns at once
  const later: Promise<string> = manager.start_new();
  console.log(await later);
}

function on_load({ id, messages }: { id: string; messages: Readonly<Message[]> }): void {
  console.log(id, messages.length);
}

const on_error = ({ error, operation, context }: LifecycleErrorEvent): void => {
  console.log(error, operation, context?.["session_id"]);
};

export function listen(manager: SessionManager): SessionManager {
  manager.on("save", ({ id, messages }) => {
    const first: Readonly<Message> | undefined = messages[0];
    console.log(id.trim(), first?.role);
    // @ts-expect-error what was saved is frozen
    const mutable: Message[] = messages;
    console.log(mutable);
  });
  manager.on("save", (event: SessionSnapshot) => {
    // @ts-expect-error what was saved is frozen
    event.id = "another";
  });
  manager.on("dispose", () => console.log("gone"));
  manager.on("load", () => console.log("a listener may ignore the payload"));

  // @ts-expect-error there is no such event
  manager.on("saved", () => {});
  // @ts-expect-error `dispose` carries nothing
  manager.on("dispose", (event: { id: string }) => console.log(event.id));
  // @ts-expect-error an id is a string
  manager.on("load", ({ id }: { id: number }) => console.log(id));
  // @ts-expect-error the error is not known to be an `Error`
  manager.on("lifecycle_error", ({ error }) => console.log(error.message));

  const chained: SessionManager = manager
    .on("load", on_load)
    .on("save", on_load)
    .on("lifecycle_error", on_error)
    .off("load", on_load)
    .off("lifecycle_error", on_error);
  return chained;
}

/** Events by name, with their arguments. */
export function relay<E extends keyof SessionManagerEvents>(manager: SessionManager, event: E): void {
  manager.on(event, (...args: SessionManagerEvents[E]) => console.log(event, args.length));
}

/** `on` returns the class it was called on. */
export class NamedManager extends SessionManager {
  readonly name = "named";
}

export function name_of(manager: NamedManager): string {
  return manager.on("dispose", () => {}).name;
}

export async function scopes(conversation: Conversation): Promise<void> {
  {
    using manager = new SessionManager(STORE, conversation);
    manager.start_new();
  }
  {
    await using manager = new SessionManager(STORE, conversation);
    await manager.load();
  }
  const disposable: Disposable & AsyncDisposable = new SessionManager(STORE, conversation);
  disposable[Symbol.dispose]();
  await disposable[Symbol.asyncDispose]();
}
