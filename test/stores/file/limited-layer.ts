import { HookedLayer } from "./hooked-layer.js";

/** Answers of file systems to operations that they do not offer, by operation. */
export type Refusals = Partial<Record<"symlink" | "link" | "sync_directory", string>>;

/** A file system that lacks some operations. */
export class LimitedLayer extends HookedLayer {
  constructor(refusals: Refusals) {
    super(({ name }) => {
      const code = refusals[name as keyof Refusals];
      if (code !== undefined) {
        throw Object.assign(new Error(`${code}: ${name}`), { code });
      }
    });
  }
}

/** Such as exFAT. */
export const FEWEST: Refusals = { symlink: "EPERM", link: "EIO", sync_directory: "EINVAL" };
