import { describe } from "vitest";
import { DRIZZLE_BACKENDS } from "./row-backends.js";
import { define_row_store } from "./row-store.js";
import { define_row_damage } from "./row-damage.js";
import { define_row_manager } from "./row-manager.js";

describe.each(DRIZZLE_BACKENDS)("$name", (backend) => {
  describe("rows", () => define_row_store(backend));
  describe("damaged is never missing", () => define_row_damage(backend));
  describe("a session manager", () => define_row_manager(backend));
});
