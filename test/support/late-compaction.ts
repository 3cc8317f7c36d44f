import { IDLE_POLICY } from "../../src/stores/file/compaction.js";

// A test that looks at a journal must not be too slow for that on a busy machine. Tests of compaction have times of their
// own, and the processes that tests start compact when everybody does.
IDLE_POLICY.idle_ms = Infinity;
