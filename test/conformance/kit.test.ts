import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { InMemorySessionStore } from "@simulacra-ai/session";
import { claimed_cases, register, session_store_cases, verify_session_store } from "@simulacra-ai/session/conformance";
import { describe, expect, test, vi } from "vitest";
import { FourMethodStore } from "../support/four-method-store.js";
import { BROKEN_STORES, WHOLE_STORE } from "./broken-stores.js";
import { SUBTLY_BROKEN_STORES } from "./subtly-broken-stores.js";

const GROUPS = new Set(session_store_cases.map(({ group }) => group));

describe("rule 28: the kit", () => {
  test("passes a store that keeps everything", async () => {
    const { cases, failed } = await verify_session_store(WHOLE_STORE);
    expect(cases.filter(({ result }) => result === "fail")).toEqual([]);
    expect(failed).toBe(0);
  });

  test.each(BROKEN_STORES)("%s: fails a store that %s", async (group, _, options) => {
    const of_group = session_store_cases.filter((one) => one.group === group);
    const { cases } = await verify_session_store(options, of_group);
    const failed = cases.filter(({ result }) => result === "fail");
    expect(failed.length).toBeGreaterThan(0);
    expect(failed[0]?.reason).toEqual(expect.stringMatching(/./));
  });

  test.each(SUBTLY_BROKEN_STORES)("%s: fails a store that %s", async (name, _, options) => {
    const named = session_store_cases.filter((one) => one.name === name);
    const { cases } = await verify_session_store(options, named);
    expect(cases.map(({ result }) => result)).toEqual(["fail"]);
  });

  test("has a broken store for each of its groups", () => {
    expect(new Set(BROKEN_STORES.map(([group]) => group))).toEqual(GROUPS);
  });

  test("names cases once, and reports each, as JSON", async () => {
    const names = session_store_cases.map(({ group, name }) => `${group}: ${name}`);
    expect(new Set(names).size).toBe(names.length);
    const report = await verify_session_store({ open: () => new InMemorySessionStore() });
    expect(report.cases.map(({ group, name }) => `${group}: ${name}`)).toEqual(names);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(report.passed + report.failed + report.not_claimed).toBe(names.length);
  });

  test("asks a store without capabilities nothing that only this package promises, and says so", async () => {
    const { cases } = await verify_session_store({ open: () => new FourMethodStore() });
    const of = (group: string) => cases.filter((one) => one.group === group);
    for (const group of ["metadata merge", "append", "update", "drafts", "revisions and conflicts", "durability"]) {
      expect(of(group).map(({ result }) => result)).toEqual(of(group).map(() => "not_claimed"));
      expect(of(group).every(({ reason }) => reason?.startsWith("needs "))).toBe(true);
    }
    expect(of("basics").filter(({ result }) => result === "pass")).not.toEqual([]);
  });

  test("does not reject for what a store does", async () => {
    const refuse = () => Promise.reject(new Error("no"));
    const broken = { list: refuse, load: refuse, save: refuse, delete: refuse };
    const { passed } = await verify_session_store({ open: () => broken });
    expect(passed).toBe(0);
    const unopened = await verify_session_store({ open: () => Promise.reject(new Error("no server")) });
    expect(new Set(unopened.cases.map(({ reason }) => reason))).toEqual(new Set(["no server"]));
  });

  test("reports a store that cannot be closed, and closes the others", async () => {
    const closed = new Set<unknown>();
    const close = (store: unknown) => {
      closed.add(store);
      return Promise.reject(new Error("it is open elsewhere"));
    };
    const { cases, passed } = await verify_session_store(
      { ...WHOLE_STORE, open_second: () => new FourMethodStore(), close },
      session_store_cases.filter(({ group }) => group === "concurrency"),
    );
    expect(passed).toBe(0);
    expect(cases[0]).toMatchObject({ result: "fail", reason: "close: it is open elsewhere" });
    expect([...closed].some((store) => store instanceof FourMethodStore)).toBe(true);
  });

  test("names the cases that a store claims before they run, and registers these alone", async () => {
    const options = { open: () => new FourMethodStore(), reopen: () => new FourMethodStore() };
    const claimed = await claimed_cases(options);
    const { cases } = await verify_session_store(options);
    const ran = cases.filter(({ result }) => result !== "not_claimed");
    expect(claimed.map(({ name }) => name)).toEqual(ran.map(({ name }) => name));
    expect(claimed.some(({ needs = [] }) => needs.includes("reopen"))).toBe(true);
    const names: string[] = [];
    register((name) => names.push(name), options, claimed);
    expect(names).toEqual(claimed.map(({ group, name }) => `${group}: ${name}`));
  });

  test("leaves a store that was only asked empty and closed, and rejects for one that does not open", async () => {
    const store = new FourMethodStore();
    const closed: unknown[] = [];
    await claimed_cases({ open: () => store, close: (one) => closed.push(one) });
    expect([await store.list(), closed]).toEqual([[], [store]]);
    await expect(claimed_cases({ open: () => Promise.reject(new Error("no server")) })).rejects.toThrow("no server");
  });

  test("tells on the console what is not claimed, where a runner cannot skip", async () => {
    const tests: { name: string; run: () => Promise<void> }[] = [];
    register((name, run) => tests.push({ name, run: () => run() }), { open: () => new FourMethodStore() });
    const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
    for (const { run } of tests.filter(({ name }) => name.startsWith("append: "))) {
      await run();
    }
    const lines = log.mock.calls.map(([line]) => String(line));
    log.mockRestore();
    expect(lines).toContain("not claimed: append: of nothing keeps the revision, and merges metadata: needs append");
  });

  test("registers with node:test", () => {
    const program = fileURLToPath(new URL("node-test-program.ts", import.meta.url));
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
    const output = execFileSync(process.execPath, ["--import", "tsx", "--test-reporter", "tap", program], {
      encoding: "utf8",
      env,
    });
    expect(output).toMatch(/# fail 0/);
    expect(output).toMatch(/# pass [1-9]/);
    expect(output).toMatch(/# SKIP needs reopen/);
  });
});
