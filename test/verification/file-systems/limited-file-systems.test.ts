import { ON_LIMITED_FILE_SYSTEMS } from "../../backends.js";
import { run_kit_on } from "../../conformance/run-kit.js";

run_kit_on(ON_LIMITED_FILE_SYSTEMS);
