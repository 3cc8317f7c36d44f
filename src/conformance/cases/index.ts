import type { ConformanceCase } from "../types.js";
import { APPEND } from "./append.js";
import { BASICS } from "./basics.js";
import { CALLS } from "./calls.js";
import { CONCURRENCY } from "./concurrency.js";
import { DRAFTS } from "./drafts.js";
import { DURABILITY } from "./durability.js";
import { INPUT } from "./input.js";
import { ISOLATION } from "./isolation.js";
import { KILLS } from "./kills.js";
import { LINEAGE } from "./lineage.js";
import { LISTING } from "./listing.js";
import { MERGE } from "./merge.js";
import { MIXED_WRITERS } from "./mixed-writers.js";
import { REVISIONS } from "./revisions.js";
import { UPDATE } from "./update.js";

/** What every store owes its users, and what its capabilities promise. */
export const session_store_cases: readonly ConformanceCase[] = [
  ...BASICS,
  ...MERGE,
  ...LISTING,
  ...ISOLATION,
  ...INPUT,
  ...CALLS,
  ...LINEAGE,
  ...REVISIONS,
  ...APPEND,
  ...UPDATE,
  ...CONCURRENCY,
  ...MIXED_WRITERS,
  ...DURABILITY,
  ...DRAFTS,
  ...KILLS,
];
