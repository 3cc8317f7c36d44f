import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { types } from "node:util";
import { invalid_input } from "../../errors.js";
import { parts_of } from "./envelope.js";

const ALGORITHM = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[\w-]{1,64}$/;
/** As much as HKDF takes to tell one key from another. */
const MAX_INFO_BYTES = 1024;
/** So many sessions' keys are remembered: deriving one takes longer than encrypting a message. */
const REMEMBERED_KEYS = 1_000;

/** The application's secrets, by an id that is stored beside what each has encrypted. */
export type EncryptionKeys = Readonly<Record<string, Uint8Array>>;

/**
 * Texts of sessions, encrypted with AES-256-GCM under a key of each session's own (HKDF-SHA256), a random nonce each.
 * What a text is and where it stands is authenticated with it. An envelope is
 * `v1.{key id}.{nonce}.{ciphertext and tag}`, the last two as base64url.
 */
export class SessionCipher {
  readonly #keys: ReadonlyMap<string, Uint8Array>;
  readonly #current: string;
  readonly #derived = new Map<string, Buffer>();

  /** @throws {SessionError} `invalid_input`. */
  constructor(keys: EncryptionKeys, current: string) {
    this.#keys = new Map(Object.entries(keys ?? {}).map(([id, key]) => [id, copy_of_key(id, key)]));
    this.#current = current;
    if (!this.#keys.has(current)) {
      throw invalid_input(`the current key ${JSON.stringify(current)} is not among the keys`);
    }
  }

  /** `place`: what the text is, and where it stands. */
  seal(session_id: string, place: readonly unknown[], text: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key(session_id, this.#current, "content"), nonce);
    cipher.setAAD(associated(session_id, this.#current, place));
    const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `v1.${this.#current}.${nonce.toString("base64url")}.${sealed.toString("base64url")}`;
  }

  /**
   * The text in an envelope; `undefined`: this is no envelope.
   * @throws {Error} where it was changed, belongs elsewhere, or no key opens it.
   */
  open(session_id: string, place: readonly unknown[], envelope: unknown): string | undefined {
    const parts = parts_of(envelope);
    if (!parts) {
      return undefined;
    }
    const { key_id, nonce, sealed } = parts;
    if (!this.#keys.has(key_id)) {
      throw new Error(`it is encrypted with the key ${key_id}, which is not among the keys`);
    }
    const bytes = Buffer.from(sealed, "base64url");
    const key = this.#key(session_id, key_id, "content");
    const decipher = createDecipheriv(ALGORITHM, key, Buffer.from(nonce, "base64url"), { authTagLength: TAG_BYTES });
    decipher.setAAD(associated(session_id, key_id, place));
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    const text = decipher.update(bytes.subarray(0, bytes.length - TAG_BYTES));
    return Buffer.concat([text, decipher.final()]).toString("utf8");
  }

  /** The same for the same id of the same session, and tells nothing of it: ids of messages are hashes of content. */
  hidden_id(session_id: string, id: string): string {
    const key = this.#key(session_id, this.#current, "ids");
    return createHmac("sha256", key).update(id).digest("base64url").slice(0, 32);
  }

  #key(session_id: string, key_id: string, purpose: "content" | "ids"): Buffer {
    const info = key_info([purpose, key_id], session_id);
    const known = this.#derived.get(info);
    if (known) {
      return known;
    }
    const [oldest] = this.#derived.keys();
    if (oldest !== undefined && this.#derived.size >= REMEMBERED_KEYS) {
      this.#derived.delete(oldest);
    }
    const secret = this.#keys.get(key_id) as Uint8Array;
    const derived = Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), info, KEY_BYTES));
    this.#derived.set(info, derived);
    return derived;
  }
}

/** What a key is for; of an id that is too long for that, the hash. */
function key_info(purpose: readonly string[], session_id: string): string {
  const info = JSON.stringify(["simulacra-session v1", ...purpose, session_id]);
  if (Buffer.byteLength(info) <= MAX_INFO_BYTES) {
    return info;
  }
  const hash = createHash("sha256").update(JSON.stringify(session_id)).digest("base64url");
  return JSON.stringify(["simulacra-session v1", ...purpose, { hash }]);
}

/** What follows in the chain is bound to this: the tag of an envelope. */
export function tag_of(envelope: string): string {
  return envelope.slice(-22);
}

function associated(session_id: string, key_id: string, place: readonly unknown[]): Buffer {
  return Buffer.from(JSON.stringify(["simulacra-session v1", key_id, session_id, ...place]));
}

function copy_of_key(id: string, key: Uint8Array): Uint8Array {
  if (!KEY_ID.test(id)) {
    throw invalid_input("the id of a key has 1 to 64 letters, digits, - and _");
  }
  if (!types.isUint8Array(key) || key.length < KEY_BYTES) {
    throw invalid_input(`the key ${id} must be a Uint8Array of at least ${KEY_BYTES} bytes`);
  }
  return Uint8Array.from(key);
}
