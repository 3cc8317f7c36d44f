import { describe, expect, test } from "vitest";
import { EIO } from "../../support/faulty-store.js";
import { open_loaded, T } from "./rewind-session.js";
import { each_store, fork_after, history_of, said } from "../../support/histories.js";

const WRITES = ["save", "append", "replace", "update"] as const;

each_store((backend) => {
  describe("a fork that is made while its parent is cut, and whose protection fails at first", () => {
    /** Another program makes a fork while the next write of the session is under way. Writes of the fork then fail. */
    async function open() {
      const id = "s";
      const opened = await open_loaded(backend);
      const { store } = opened;
      store.intercept(
        ["save", "replace"],
        async (perform) => {
          await fork_after(store, id, 4, "late");
          store.fail(WRITES, { id: "late-fork" }, EIO);
          return perform();
        },
        { id },
      );
      return { id, ...opened };
    }

    test("rules 10.3 and 15.3: replacing the history owes it until a flush succeeds", async () => {
      const { store, id, manager, conversation, errors } = await open();
      conversation.load(conversation.messages.slice(0, 1));
      conversation.turn("new");
      await expect.poll(() => errors.map(({ error }) => error)).toEqual([EIO]);
      expect(manager.last_error).toBe(EIO);
      await manager.flush();
      expect(manager.last_error).toBeUndefined();
      expect(await history_of(store, "late-fork")).toEqual([...T(2), ...said("late")]);
      expect(await history_of(store, id)).toEqual([...T(3).slice(0, 1), ...said("new")]);
    });

    test("rules 16.4 and 15.3: rewinding owes it until a flush succeeds", async () => {
      const { store, id, manager, errors } = await open();
      const tail = await manager.rewind("u1");
      expect(errors).toMatchObject([{ error: EIO, operation: "rewind" }]);
      expect(manager.last_error).toBe(EIO);
      await manager.flush();
      expect(manager.last_error).toBeUndefined();
      expect(await history_of(store, "late-fork")).toEqual([...T(2), ...said("late")]);
      expect(await history_of(store, tail ?? "")).toEqual(T(3));
      expect(await history_of(store, id)).toEqual(T(3).slice(0, 1));
    });
  });
});
