import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { InMemorySessionStore } from "@simulacra-ai/session";
import { round } from "../core/helpers.js";
import { open_plain } from "../support/open-session.js";

setFlagsFromString("--expose-gc");
const collect_garbage = runInNewContext("gc") as () => void;

const CHILDREN = 20;

test.each([true, false])(
  "rule 4.5: a manager keeps no child alive that nothing else refers to (disposed: %s)",
  async (is_disposed) => {
    const store = new InMemorySessionStore();
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    const children: WeakRef<object>[] = [];
    for (let nth = 0; nth < CHILDREN; nth += 1) {
      const child = conversation.spawn();
      child.turn("of the child");
      if (is_disposed) {
        child.emit("dispose");
      }
      children.push(new WeakRef(child));
    }
    await manager.flush();
    for (let times = 0; times < 3; times += 1) {
      await round();
      collect_garbage();
    }
    const alive = children.filter((child) => child.deref() !== undefined);
    expect(alive.length).toBeLessThanOrEqual(CHILDREN / 4); // the engine may keep some in registers and caches
    expect(await manager.list()).toHaveLength(1 + CHILDREN);
  },
);
