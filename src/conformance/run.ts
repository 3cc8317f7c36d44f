import { has_capability } from "../capabilities.js";
import { reason_of } from "../errors.js";
import type { SessionStore } from "../types.js";
import { session_store_cases } from "./cases/index.js";
import { new_id, NotClaimed } from "./check.js";
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
 * Runs all cases, one after another, each on a store of its own. Never rejects for what a store does: that is in the
 * report.
 */
export async function verify_session_store(options: ConformanceOptions): Promise<ConformanceReport> {
  const cases: ConformanceResult[] = [];
  for (const one of session_store_cases) {
    cases.push(await run_case(one, options));
  }
  const count = (result: ConformanceResult["result"]) => cases.filter((one) => one.result === result).length;
  return { cases, passed: count("pass"), failed: count("fail"), not_claimed: count("not_claimed") };
}

/** What a runner hands to a test, as far as it is used here. */
interface TestContext {
  skip?: (reason?: string) => unknown;
}

/** `test` of vitest, jest or node:test. */
export type RegisterTest = (name: string, run: (...context: unknown[]) => Promise<void>) => unknown;

/**
 * Registers a test for each case. What a store does not claim is skipped with the reason where the runner can do
 * that, else said on the console.
 */
export function register(test: RegisterTest, options: ConformanceOptions): void {
  for (const one of session_store_cases) {
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
    const missing = await missing_needs(one.needs ?? [], fixture);
    if (missing.length > 0) {
      return { group, name, result: "not_claimed", reason: `needs ${missing.join(", ")}` };
    }
    await one.run(fixture);
    return { group, name, result: "pass" };
  } catch (error) {
    const reason = reason_of(error);
    return { group, name, result: error instanceof NotClaimed ? "not_claimed" : "fail", reason };
  }
}

async function missing_needs(
  needs: readonly ConformanceNeed[],
  fixture: ConformanceFixture,
): Promise<ConformanceNeed[]> {
  const missing: ConformanceNeed[] = [];
  for (const need of needs) {
    if (!(await has_need(need, fixture))) {
      missing.push(need);
    }
  }
  return missing;
}

async function has_need(need: ConformanceNeed, fixture: ConformanceFixture): Promise<boolean> {
  const { store } = fixture;
  if (need === "reopen" || need === "open_second" || need === "kills") {
    return fixture[need] !== undefined;
  }
  if (need === "rules") {
    return CAPABILITIES.some((capability) => has_capability(store, capability));
  }
  if (need === "revision") {
    return returns_revision(store);
  }
  return has_capability(store, need);
}

/** A store that appends or replaces has to; another may. */
async function returns_revision(store: SessionStore): Promise<boolean> {
  if (has_capability(store, "append") || has_capability(store, "replace")) {
    return true;
  }
  const id = new_id("probe");
  await store.save(id, []);
  const session = await store.load(id);
  await store.delete(id);
  return session?.revision !== undefined;
}
