const { randomUUID } = require("node:crypto");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { FileSessionStore } = require("@simulacra-ai/session");
const { register } = require("@simulacra-ai/session/conformance");

const root = mkdtempSync(join(tmpdir(), "jest-kit-"));
let place = "";

afterAll(() => rmSync(root, { recursive: true }));

describe("the conformance kit on the file store", () => {
  register(test, {
    open: () => new FileSessionStore((place = join(root, randomUUID()))),
    reopen: () => new FileSessionStore(place),
    open_second: () => new FileSessionStore(place),
    close: (store) => store.flush(),
    kills: { module: join(__dirname, "../kit/file-store.mjs"), rounds: 2 },
  });
});
