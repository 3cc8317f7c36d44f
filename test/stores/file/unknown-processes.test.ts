import { expect, test } from "vitest";
import { life_of, own_identity } from "../../../src/stores/file/lock/process-identity.js";

const DEAD_PID = 999_999_999;

test("rule 31: a process is known to be gone only where its number counts", () => {
  const self = own_identity();
  expect(life_of({ ...self, pid: DEAD_PID }, self)).toBe("gone");
  expect(life_of({ ...self, pid: DEAD_PID, machine: "abcdef" }, self)).toBe("unknown");
  expect(life_of({ ...self, pid: DEAD_PID, namespaces: "abcdef" }, self)).toBe("unknown");
});

test.runIf(process.platform === "linux")("rule 31: where /proc is hidden, no process is known to be gone", () => {
  const self = { ...own_identity(), started: "", boot: "", namespaces: "" }; // as Deno hides it without --allow-all
  expect(life_of({ ...self, pid: DEAD_PID }, self)).toBe("unknown");
  expect(life_of(own_identity(), self)).toBe("unknown");
});
