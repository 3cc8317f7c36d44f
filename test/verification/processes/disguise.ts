import { randomBytes } from "node:crypto";
import { own_identity } from "../../../src/stores/file/lock/process-identity.js";

/** Makes this process one of another machine, so that no other process can tell whether it lives. */
export function go_out_of_sight(): void {
  own_identity().machine = randomBytes(3).toString("hex");
}
