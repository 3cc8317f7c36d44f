import { describe, expect, test } from "vitest";
import { has_code } from "../../../src/errors.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { SessionDraft } from "../../../src/types.js";
import { loaded, type FullStore } from "../../stores/helpers.js";
import { ROOT } from "../damage/sample.js";
import { check_managers, check_stores } from "../methods/model.js";
import { type Open, open_files } from "./store-run.js";

const RUNS = { seed: 1, numRuns: 300, endOnFailure: true };

type Break = (store: FullStore) => Partial<FullStore>;

/** A store that does some things wrong. */
const broken =
  (make: Break): Open =>
  (format, layer) => {
    const store = open_files(format, layer);
    const right: FullStore = {
      list: (query) => store.list(query),
      load: (id) => store.load(id),
      save: (id, messages, metadata) => store.save(id, messages, metadata),
      delete: (id) => store.delete(id),
      append: (id, messages, options) => store.append(id, messages, options),
      replace: (id, messages, options) => store.replace(id, messages, options),
      update: (id, metadata) => store.update(id, metadata),
      flush: async (id) => store.flush?.(id),
      set_draft: (id, draft) => store.set_draft(id, draft),
    };
    return { ...right, ...make(store) };
  };

const without_nulls = (metadata: object = {}) =>
  Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null));

const BROKEN: [string, Open][] = [
  ["loses what was not synced", (format, layer) => new FileSessionStore(ROOT, { format, durable: false }, layer)],
  [
    "takes any revision",
    broken((store) => ({
      append: (id, messages, options) =>
        store.append(id, messages, options).catch(async (error: unknown) => {
          if (has_code(error, "conflict")) {
            return store.append(id, messages, { ...options, revision: (await loaded(store, id)).revision });
          }
          throw error;
        }),
    })),
  ],
  [
    "replaces where there is a session already",
    broken((store) => ({
      replace: async (id, messages, options) => {
        const revision = options.revision ?? (await store.load(id))?.revision ?? null;
        return store.replace(id, messages, { ...options, revision });
      },
    })),
  ],
  [
    "moves the revision with the metadata",
    broken((store) => ({
      update: async (id, metadata) => {
        const is_there = await store.update(id, metadata);
        const session = await store.load(id);
        await store.save(id, session?.messages ?? [], session?.metadata);
        return is_there;
      },
    })),
  ],
  ["removes no metadata", broken((store) => ({ update: (id, metadata) => store.update(id, without_nulls(metadata)) }))],
  [
    "forgets metadata that come with messages",
    broken((store) => ({ append: (id, messages, { revision }) => store.append(id, messages, { revision }) })),
  ],
  [
    "lists equal dates in another order",
    broken((store) => ({
      list: async (query) =>
        (await store.list(query)).sort((a, b) =>
          a.updated_at === b.updated_at ? (a.id < b.id ? 1 : -1) : a.updated_at < b.updated_at ? 1 : -1,
        ),
    })),
  ],
  [
    "lists one too many",
    broken((store) => ({
      list: (query) => store.list(query?.limit === undefined ? query : { ...query, limit: query.limit + 1 }),
    })),
  ],
  [
    "loses the last of three messages",
    broken((store) => ({ save: (id, all, m) => store.save(id, all.slice(0, 2), m) })),
  ],
  ["keeps no drafts", broken(() => ({ set_draft: async () => undefined }))],
  [
    "loses a draft with any turn",
    broken((store) => ({ append: (...all) => store.append(...all).finally(() => store.set_draft(all[0], undefined)) })),
  ],
  [
    "keeps the first draft",
    broken((store) => ({
      set_draft: async (id, draft) => {
        const is_taken = draft !== undefined && (await store.load(id))?.draft !== undefined;
        return is_taken ? undefined : store.set_draft(id, draft);
      },
    })),
  ],
  [
    "keeps the draft of a turn that it holds",
    broken((store) => {
      const drafts = new Map<string, SessionDraft | undefined>();
      return {
        set_draft: async (id, draft) => {
          await store.set_draft(id, draft);
          drafts.set(id, draft);
        },
        load: async (id) => {
          const [session, draft] = [await store.load(id), drafts.get(id)];
          return session && draft ? { ...session, draft } : session;
        },
      };
    }),
  ],
  ["deletes what it says is not there", broken((store) => ({ delete: async (id) => !(await store.delete(id)) }))],
];

describe("the random runs can see", () => {
  test.each(BROKEN)("rule 31: a store that %s", async (_, open_store) => {
    expect((await check_stores("json", RUNS, open_store)).losses).not.toEqual([]);
  });

  test("rule 31: a store that forgets what a manager says of its sessions", async () => {
    const forgets = broken(() => ({ update: async () => true }));
    expect((await check_managers("json", RUNS, forgets)).losses).not.toEqual([]);
    const drops = broken((store) => ({
      append: (id, messages, options) => store.append(id, messages.slice(0, 1), options),
    }));
    expect((await check_managers("json", RUNS, drops)).losses).not.toEqual([]);
  });

  test("rule 17: a store that keeps no drafts, or only their prompts, under a manager", async () => {
    const forgets = broken(() => ({ set_draft: async () => undefined }));
    expect((await check_managers("json", RUNS, forgets)).losses).not.toEqual([]);
    const keeps_prompts = broken((store) => ({
      set_draft: (id, draft) => store.set_draft(id, draft && { prompt: draft.prompt, updated_at: draft.updated_at }),
    }));
    expect((await check_managers("json", RUNS, keeps_prompts)).losses).not.toEqual([]);
    const takes_back = broken((store) => ({
      set_draft: (id, draft) => (draft ? store.set_draft(id, draft) : Promise.resolve()),
    }));
    expect((await check_managers("json", RUNS, takes_back)).losses).not.toEqual([]);
  });
});
