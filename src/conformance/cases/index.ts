import type { ConformanceCase } from "../types.js";
import { APPEND } from "./append.js";
import { BASICS } from "./basics.js";
import { CONCURRENCY } from "./concurrency.js";
import { DRAFTS } from "./drafts.js";
import { DURABILITY } from "./durability.js";
import { ISOLATION } from "./isolation.js";
import { KILLS } from "./kills.js";
import { LINEAGE } from "./lineage.js";
import { LISTING } from "./listing.js";
import { MERGE } from "./merge.js";
import { MIXED_WRITERS } from "./mixed-writers.js";
import { REVISIONS } from "./revisions.js";
import { UPDATE } from "./update.js";
import { WRITE_WAYS } from "./write-ways.js";

/** What every store owes its users, and what its capabilities promise. */
export const session_store_cases: readonly ConformanceCase[] = [
  ...BASICS,
  ...MERGE,
  ...WRITE_WAYS,
  ...LISTING,
  ...ISOLATION,
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
