/** Writes the index of tests at the end of docs/guarantees.md. Usage: npm run docs:rules */
import { writeFileSync } from "node:fs";
import { project_file, PROJECT_ROOT } from "../test/docs/markdown.js";
import { cited_by_file, with_index } from "../test/docs/rules.js";

const PATH = "docs/guarantees.md";

writeFileSync(new URL(PATH, PROJECT_ROOT), with_index(project_file(PATH), cited_by_file()));
