import fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { afterEach, expect, test, vi } from "vitest";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { pass_time_until, use_fake_timers } from "../../support/fake-timers.js";
import { message, outcome_of, temporary_directory } from "../helpers.js";
import { append, tree } from "./files.js";
import { system_error } from "./hooked-layer.js";
import { WindowsLayer } from "./windows-layer.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const CHANGES = [
  ["renameSync", (root: string) => NODE_FILE_LAYER.rename(join(root, "a"), join(root, "b"))],
  ["unlinkSync", (root: string) => NODE_FILE_LAYER.unlink(join(root, "a"))],
] as const;

function on(platform: NodeJS.Platform): void {
  vi.spyOn(process, "platform", "get").mockReturnValue(platform);
}

test.each(
  CHANGES.flatMap(([name, change]) => ["EPERM", "EBUSY", "EACCES"].map((code) => [name, code, change] as const)),
)("rule 45.7: on Windows a %s that is refused for a moment (%s) is made again", async (name, code, change) => {
  on("win32");
  const root = temporary_directory();
  fs.writeFileSync(join(root, "a"), "x");
  const refused = vi.spyOn(fs, name);
  for (let n = 0; n < 3; n += 1) {
    refused.mockImplementationOnce(() => {
      throw system_error(code);
    });
  }
  await change(root);
  expect(refused).toHaveBeenCalledTimes(4);
  expect(fs.existsSync(join(root, "a"))).toBe(false);
});

test.each(CHANGES)("rule 45.7: on Windows a %s that stays refused fails after two seconds", async (name, change) => {
  on("win32");
  use_fake_timers();
  vi.spyOn(fs, name).mockImplementation(() => {
    throw system_error("EBUSY");
  });
  let outcome = "waits";
  const changed = outcome_of(change(temporary_directory())).then((found) => (outcome = found));
  await vi.advanceTimersByTimeAsync(1_900);
  expect(outcome).toBe("waits");
  await pass_time_until(changed);
  expect(outcome).toContain("EBUSY");
});

test.each(CHANGES)("rule 45.7: another error of a %s, and any elsewhere, is told at once", async (name, change) => {
  for (const [platform, code] of [
    ["win32", "ENOSPC"],
    ["linux", "EBUSY"],
    ["darwin", "EPERM"],
  ] as const) {
    on(platform);
    const refused = vi.spyOn(fs, name).mockImplementation(() => {
      throw system_error(code);
    });
    refused.mockClear();
    expect(await outcome_of(change(temporary_directory()))).toContain(code);
    expect(refused).toHaveBeenCalledTimes(1);
  }
});

test.each(["json", "ndjson"] as FileSessionFormat[])(
  "rule 45.7: as on Windows, a %s session is read while it is changed, and nothing is left",
  async (format) => {
    const root = temporary_directory();
    const store = new FileSessionStore(root, { format }, new WindowsLayer(root));
    expect(await store.file_system()).toEqual({
      lock: "file",
      hard_links: true,
      directory_sync: false,
      modes: false,
      case_sensitive: false,
    });
    await store.save("s", [message("0")], { parent_id: "p" });
    const layer = new WindowsLayer(root);
    const reader = new FileSessionStore(root, {}, layer);
    let is_over = false;
    const reading = (async () => {
      while (!is_over) {
        expect((await reader.load("s"))?.messages.length).toBeGreaterThan(0);
      }
    })();
    for (let n = 1; n < 10; n += 1) {
      await append(store, [`${n}`]);
      await store.flush();
    }
    is_over = true;
    await reading;
    expect(await store.verify()).toEqual([]);
    expect(await outcome_of(store.save("con", []))).toBe("invalid_id");
    expect(await store.delete("s")).toBe(true);
    expect(tree(root)).toEqual([]);
  },
);
