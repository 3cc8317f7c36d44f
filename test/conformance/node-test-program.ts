import test from "node:test";
import { InMemorySessionStore } from "../../src/index.js";
import { register } from "../../src/conformance/index.js";

register(test, { open: () => new InMemorySessionStore() });
