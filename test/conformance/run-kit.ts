import type { SessionStore } from "@simulacra-ai/session";
import { claimed_cases, register, type ConformanceOptions } from "@simulacra-ai/session/conformance";
import { afterAll, describe, expect, test } from "vitest";
import { capabilities_of, each_backend, type Backend, type OpenBackend } from "../backends.js";

/** The store of a case, and others over the same sessions where they outlive a store. */
async function options_of(backend: Backend): Promise<ConformanceOptions> {
  let last: OpenBackend | undefined;
  const open = async () => {
    last = await backend.open();
    return last.store;
  };
  const again = () => last?.reopen?.() as Promise<SessionStore>;
  const { reopen, close } = await backend.open();
  await close();
  return {
    open,
    rules: true,
    close: (store) => (store === last?.store ? last.close() : undefined),
    ...(reopen && { reopen: again, open_second: again }),
    ...(backend.kills && { kills: backend.kills }),
  };
}

/** Runs the conformance kit on the stores of a list. */
export function run_kit_on(backends: readonly Backend[]): void {
  each_backend(
    (backend) => {
      describe("rules 20, 21, 22, 23, 25, 26 and 28: conformance", async () => {
        const options = await options_of(backend);
        const cases = await claimed_cases(options);
        await backend.end?.(); // begins again with the first case, if any is run
        afterAll(() => backend.end?.());
        register(test, options, cases);
      });

      test("rule 24: the table knows the capabilities of the store", async () => {
        const { store, close } = await backend.open();
        expect(capabilities_of(store)).toEqual(capabilities_of(backend.sample));
        await close();
        await backend.end?.();
      });
    },
    ({ is_double }) => !is_double,
    backends,
  );
}
