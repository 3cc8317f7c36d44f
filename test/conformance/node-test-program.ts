import test from "node:test";
import { InMemorySessionStore } from "../../src/index.js";
import { register, session_store_cases } from "../../src/conformance/index.js";

const cases = session_store_cases.filter(({ group }) => ["basics", "durability"].includes(group));

register(test, { open: () => new InMemorySessionStore() }, cases);
