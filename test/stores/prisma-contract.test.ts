import { describe } from "vitest";
import { PRISMA_BACKENDS } from "./row-backends.js";
import { define_row_contract } from "./row-contract.js";
import { define_row_damage } from "./row-damage.js";
import { define_row_manager } from "./row-manager.js";

describe.each(PRISMA_BACKENDS)("$name", (backend) => {
  describe("the contract", () => define_row_contract(backend));
  describe("damaged is never missing", () => define_row_damage(backend));
  describe("a session manager", () => define_row_manager(backend));
});
