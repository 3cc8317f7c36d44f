import { FileSessionStore, InMemorySessionStore, type SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { has_capability } from "../../src/capabilities.js";

const NAMES = ["append", "replace", "update", "flush", "set_draft"] as const;

function capabilities_of(store: SessionStore): string[] {
  return NAMES.filter((name) => has_capability(store, name));
}

/** An object with the four basic methods and no prototype of ours. */
function four_methods(): SessionStore {
  const inner = new InMemorySessionStore();
  return {
    list: (query) => inner.list(query),
    load: (id) => inner.load(id),
    save: (...args) => inner.save(...args),
    delete: (id) => inner.delete(id),
  };
}

test("rule 24: a class has the methods that it defines beside save and load", () => {
  expect(capabilities_of(new InMemorySessionStore())).toEqual(["append", "replace", "update", "set_draft"]);
  expect(capabilities_of(new FileSessionStore("nowhere"))).toEqual([
    "append",
    "replace",
    "update",
    "flush",
    "set_draft",
  ]);
  expect(capabilities_of(four_methods())).toEqual([]);
});

test("rule 24: a subclass that changes save, load or both is never bypassed", () => {
  class Saves extends InMemorySessionStore {
    override save = async () => undefined;
  }
  class Loads extends InMemorySessionStore {
    override async load(id: string) {
      return super.load(id);
    }
  }
  class Both extends Loads {
    override async save(...args: Parameters<InMemorySessionStore["save"]>) {
      return super.save(...args);
    }
  }
  class Farther extends Both {}
  for (const store of [new Saves(), new Loads(), new Both(), new Farther()]) {
    expect(capabilities_of(store)).toEqual([]);
  }
});

test("rule 24: what the subclass defines again counts again, and nothing else does", () => {
  class Again extends InMemorySessionStore {
    override async save(...args: Parameters<InMemorySessionStore["save"]>) {
      return super.save(...args);
    }
    override async append(...args: Parameters<InMemorySessionStore["append"]>) {
      return super.append(...args);
    }
  }
  class Below extends Again {
    override async load(id: string) {
      return super.load(id);
    }
  }
  expect(capabilities_of(new Again())).toEqual(["append"]);
  expect(capabilities_of(new Below())).toEqual([]);
});

test("rule 24: a subclass that leaves save and load alone keeps everything", () => {
  class Lists extends InMemorySessionStore {
    override async list() {
      return [];
    }
    override async delete() {
      return false;
    }
    async flush() {}
  }
  expect(capabilities_of(new Lists())).toEqual(["append", "replace", "update", "flush", "set_draft"]);
});

test("rule 24: own properties are nearest", () => {
  const patched = new InMemorySessionStore();
  patched.save = async () => undefined;
  expect(capabilities_of(patched)).toEqual([]);
  patched.append = async () => ({ revision: "r" });
  expect(capabilities_of(patched)).toEqual(["append"]);

  const disabled = Object.assign(new InMemorySessionStore(), { append: undefined }) as unknown as SessionStore;
  expect(capabilities_of(disabled)).toEqual(["replace", "update", "set_draft"]);
});

test("rule 24: wrapper objects have what they define themselves", () => {
  const inner = new InMemorySessionStore();
  const plain: SessionStore = { ...four_methods(), append: (...args) => inner.append(...args) };
  expect(capabilities_of(plain)).toEqual(["append"]);

  const over = Object.create(inner) as SessionStore;
  expect(capabilities_of(over)).toEqual(["append", "replace", "update", "set_draft"]);
  over.load = (id) => inner.load(id);
  expect(capabilities_of(over)).toEqual([]);

  const through = new Proxy(inner, {});
  expect(capabilities_of(through)).toEqual(["append", "replace", "update", "set_draft"]);

  const bare = Object.assign(Object.create(null) as object, four_methods(), {
    update: async () => true,
  }) as SessionStore;
  expect(capabilities_of(bare)).toEqual(["update"]);
});
