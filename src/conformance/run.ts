import { has_capability } from "../capabilities.js";
import { reason_of } from "../errors.js";
import type { SessionStore } from "../types.js";
import { session_store_cases } from "./cases/index.js";
import { new_id } from "./check.js";
import type {
  ConformanceCase,
  ConformanceFixture,
  ConformanceNeed,
  ConformanceOptions,
  ConformanceReport,
  ConformanceResult,
} from "./types.js";

const CAPABILITIES = ["append", "replace", "update", "flush", "set_draft"] as const;

/**
 * Runs the cases, all of them or these, one after another, each on a store of its own. Never rejects for what a store
 * does: that is in the report.
 */
export async function verify_session_store(
  options: ConformanceOptions,
  cases: readonly ConformanceCase[] = session_store_cases,
): Promise<ConformanceReport> {
  const results: ConformanceResult[] = [];
  for (const one of cases) {
    results.push(await run_case(one, options));
  }
  const count = (result: ConformanceResult["result"]) => results.filter((one) => one.result === result).length;
  return { cases: results, passed: count("pass"), failed: count("fail"), not_claimed: count("not_claimed") };
}

/**
 * Returns the cases whose needs the store has, to register those alone. Opens one store to find out, and rejects where
 * that fails.
 */
export async function claimed_cases(
  options: ConformanceOptions,
  cases: readonly ConformanceCase[] = session_store_cases,
): Promise<ConformanceCase[]> {
  const store = await options.open();
  try {
    const missing = new Set<ConformanceNeed>();
    for (const need of new Set(cases.flatMap(({ needs = [] }) => needs))) {
      if (!(await has_need(need, options, store))) {
        missing.add(need);
      }
    }
    return cases.filter(({ needs = [] }) => !needs.some((need) => missing.has(need)));
  } finally {
    await options.close?.(store);
  }
}

/** What a runner hands to a test, as far as it is used here. */
interface TestContext {
  skip?: (reason?: string) => unknown;
}

/** `test` of vitest, jest or node:test. */
export type RegisterTest = (name: string, run: (...context: unknown[]) => Promise<void>) => unknown;

/**
 * Registers a test for each case, all of them or these. What a store does not claim is skipped with the reason where
 * the runner can do that, else said on the console. Pass {@link claimed_cases} to register nothing that is skipped.
 */
export function register(
  test: RegisterTest,
  options: ConformanceOptions,
  cases: readonly ConformanceCase[] = session_store_cases,
): void {
  for (const one of cases) {
    const title = `${one.group}: ${one.name}`;
    // No declared parameter: some runners take one for a callback.
    test(title, async (...context) => {
      const { result, reason = "" } = await run_case(one, options);
      if (result === "fail") {
        throw new Error(reason);
      }
      if (result === "not_claimed") {
        const runner = context[0] as TestContext | undefined;
        const skip = typeof runner?.skip === "function" ? runner.skip.bind(runner) : undefined;
        await (skip ? skip(reason) : console.log(`not claimed: ${title}: ${reason}`));
      }
    });
  }
}

async function run_case(one: ConformanceCase, options: ConformanceOptions): Promise<ConformanceResult> {
  const opened: SessionStore[] = [];
  const result = await result_of(one, options, opened);
  const failure = await close_all(opened, options);
  return failure === undefined || result.result === "fail" ? result : { ...result, result: "fail", reason: failure };
}

/** Closes every store, and says what the first one that failed said. */
async function close_all(opened: readonly SessionStore[], options: ConformanceOptions): Promise<string | undefined> {
  let failure: string | undefined;
  for (const store of opened) {
    try {
      await options.close?.(store);
    } catch (error) {
      failure ??= `close: ${reason_of(error)}`;
    }
  }
  return failure;
}

async function result_of(
  one: ConformanceCase,
  options: ConformanceOptions,
  opened: SessionStore[],
): Promise<ConformanceResult> {
  const { group, name } = one;
  const opening = (open: () => SessionStore | Promise<SessionStore>) => async () => {
    const store = await open();
    opened.push(store);
    return store;
  };
  try {
    const fixture: ConformanceFixture = {
      store: await opening(options.open)(),
      ...(options.reopen && { reopen: opening(options.reopen) }),
      ...(options.open_second && { open_second: opening(options.open_second) }),
      ...(options.kills && { kills: options.kills }),
    };
    const missing = await missing_needs(one.needs ?? [], options, fixture.store);
    if (missing.length > 0) {
      return { group, name, result: "not_claimed", reason: `needs ${missing.join(", ")}` };
    }
    await one.run(fixture);
    return { group, name, result: "pass" };
  } catch (error) {
    return { group, name, result: "fail", reason: reason_of(error) };
  }
}

async function missing_needs(
  needs: readonly ConformanceNeed[],
  options: ConformanceOptions,
  store: SessionStore,
): Promise<ConformanceNeed[]> {
  const missing: ConformanceNeed[] = [];
  for (const need of needs) {
    if (!(await has_need(need, options, store))) {
      missing.push(need);
    }
  }
  return missing;
}

async function has_need(need: ConformanceNeed, options: ConformanceOptions, store: SessionStore): Promise<boolean> {
  if (need === "reopen" || need === "open_second" || need === "kills") {
    return options[need] !== undefined;
  }
  if (need === "rules") {
    return options.rules === true || CAPABILITIES.some((capability) => has_capability(store, capability));
  }
  if (need === "revision") {
    return returns_revision(store);
  }
  if (need === "query") {
    return keeps_to_query(store);
  }
  return has_capability(store, need);
}

/** A store that appends or replaces has to; another may. */
async function returns_revision(store: SessionStore): Promise<boolean> {
  if (has_capability(store, "append") || has_capability(store, "replace")) {
    return true;
  }
  return with_probe(store, async (id) => (await store.load(id))?.revision !== undefined);
}

async function keeps_to_query(store: SessionStore): Promise<boolean> {
  return with_probe(store, async () => (await store.list({ limit: 0 })).length === 0);
}

/** Leaves the store empty, as it was. */
async function with_probe(store: SessionStore, look: (id: string) => Promise<boolean>): Promise<boolean> {
  const id = new_id("probe");
  await store.save(id, []);
  try {
    return await look(id);
  } finally {
    await store.delete(id);
  }
}
