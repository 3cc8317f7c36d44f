import { BACKENDS } from "../backends.js";
import { run_kit_on } from "./run-kit.js";

run_kit_on(BACKENDS);
