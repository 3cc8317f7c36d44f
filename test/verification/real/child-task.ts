import type { FileSessionFormat } from "@simulacra-ai/session";

/** What a process under a limit does. Each step that ends prints a line. */
export interface ChildTask {
  root: string;
  format: FileSessionFormat;
  /** Opens files until there can be no more, and closes so many again. Only the last step has as many as it likes. */
  free_descriptors?: number;
}

export interface StepResult {
  text: string;
  /** The code of the error, and of its cause; `undefined`: it is done. */
  failed?: [code: string, cause: string];
}

/** So that the journal is folded, beside the appends, about once. */
export const STEPS = Array.from({ length: 14 }, (_, n) => `${n} `.padEnd(n === 0 ? 20 : 7000, "x"));
