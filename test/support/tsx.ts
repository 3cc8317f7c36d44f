import { fileURLToPath } from "node:url";

/** Options for a Node.js that runs a program in TypeScript, in any directory. */
export const TSX = ["--import", fileURLToPath(import.meta.resolve("tsx"))];
