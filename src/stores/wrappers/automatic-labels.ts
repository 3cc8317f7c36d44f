import type { Message } from "@simulacra-ai/core";
import { label_from_messages } from "../../label.js";

/** Messages that a label comes with: as they were given, and as they are stored. */
export interface Written {
  messages: readonly Message[];
  redacted: readonly Message[];
}

const REMEMBERED_LABELS = 1_000;
const LABEL_OF_ANOTHER = /^([^]*?)((?: \((?:fork|replaced|rewound)\))+)$/;

/**
 * Labels that a manager has cut out of a text, and with it perhaps a credential, of which the beginning is left: nobody
 * could tell. They are cut out of the redacted text instead, and so is what is called after them.
 */
export class AutomaticLabels {
  readonly #known = new Map<string, string>();

  redact(label: string, redact: (text: string) => string, written: Written | undefined): string {
    if (written && label_from_messages(written.messages) === label) {
      const redacted = redact(label_from_messages(written.redacted) ?? label);
      if (redacted !== label) {
        this.#remember(label, redacted);
      }
      return redacted;
    }
    const [, base = label, suffix = ""] = LABEL_OF_ANOTHER.exec(label) ?? [];
    const known = this.#known.get(base);
    return known === undefined ? redact(label) : `${known}${suffix}`;
  }

  #remember(label: string, redacted: string): void {
    const [oldest] = this.#known.keys();
    if (oldest !== undefined && this.#known.size >= REMEMBERED_LABELS) {
      this.#known.delete(oldest);
    }
    this.#known.set(label, redacted);
  }
}
