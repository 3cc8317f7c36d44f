import { user } from "../../support/messages.js";
import type { Step, World } from "./record.js";
import type { TracingStore } from "./tracing-store.js";

export const message = (text: string) => user(text, text.slice(0, 20));

/** Longer than a block, so that a file can be written in part. */
const long = (name: string) => message(name.padEnd(5000, "."));

/** More than the least size at which a journal is folded. */
const huge = (name: string) => message(name.padEnd(82_000, "."));

export async function revision_of({ store }: Pick<World, "store">): Promise<string> {
  const session = await store.load("s");
  if (session?.revision === undefined) {
    throw new Error("the session is missing, or has no revision");
  }
  return session.revision;
}

export const save =
  (name: string, metadata = {}): Step =>
  ({ store }) =>
    store.save("s", [long(name), message(`${name} too`)], metadata);

export const save_short =
  (name: string): Step =>
  ({ store }) =>
    store.save("s", [message(name)]);

export const replace =
  (name: string, metadata = {}): Step =>
  async (world) =>
    world.store.replace("s", [long(name)], { revision: await revision_of(world), metadata });

const append_to =
  (of: (world: World) => TracingStore, make: (name: string) => ReturnType<typeof message>) =>
  (name: string, metadata = {}): Step =>
  async (world) =>
    of(world).append("s", [make(name)], { revision: await revision_of(world), metadata });

export const append = append_to(({ store }) => store, message);
export const append_long = append_to(({ store }) => store, long);
export const append_huge = append_to(({ store }) => store, huge);
export const append_elsewhere = append_to(({ other }) => other, message);

export const update =
  (metadata: object): Step =>
  ({ store }) =>
    store.update("s", metadata);

export const flush: Step = ({ store }) => store.flush("s");
export const flush_elsewhere: Step = ({ other }) => other.flush("s");
export const remove: Step = ({ store }) => store.delete("s");
