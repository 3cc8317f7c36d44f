/** A kind of credential, by what its texts look like. */
export interface CredentialPattern {
  name: string;
  pattern: RegExp;
}

/** What may stand before a credential: no letter or digit, unless it ends an escape: `\n`, `\u003d`, `%3D`. */
const START = String.raw`(?:(?<![A-Za-z0-9])|(?<=\\[nrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}))`;
/** The same for what may be as long as it likes: near the start of a run, so that no run is searched again and again. */
const START_OF_RUN = String.raw`(?:(?<=(?<![\w-])(?:\w{0,40}_)?)|(?<=\\[nrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}))`;

/** A quotation mark, escaped or not. */
const QUOTE = String.raw`(?:\\{0,3}["'])?`;

const KEY_NAME = String.raw`(?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----`;
/** Between the lines of a key: line breaks, escaped ones, and what a program puts around them. */
const BETWEEN = String.raw`(?:\\{1,4}[nrt]|[^A-Za-z0-9\\]){0,40}`;
const KEY_HEADERS = String.raw`(?:(?:\\{1,4}[nrt]|\s){0,8}[A-Z][A-Za-z-]{1,30}: [^\n\\]{1,200}(?=[\n\\])){0,8}`;
const KEY_LINE = "(?=[A-Za-z0-9])[A-Za-z0-9+/=]{32,2000}";
const KEY_END = String.raw`[^-]{0,20000}(?:-(?!----)[^-]{0,20000}){0,200}-----END ${KEY_NAME}`;

/**
 * Credentials that can be told by their form alone. Passwords and keys of no particular form are not among them: those
 * take a `redact` of your own. Each is found in time that is proportional to the text: what repeats has a bound, for
 * the stack of the regexp too, and what is long begins only once a run.
 */
export const CREDENTIAL_PATTERNS: readonly CredentialPattern[] = [
  credential(
    "private key",
    `-----BEGIN ${KEY_NAME}${KEY_HEADERS}${BETWEEN}(?=[A-Za-z0-9])[A-Za-z0-9+/=]{32}(?:${KEY_END}|[A-Za-z0-9+/=]{0,2000}(?:${BETWEEN}${KEY_LINE}){0,1000})`,
  ),
  credential("AWS access key", `${START}(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])`),
  credential(
    "AWS secret key",
    String.raw`(?<=secret_?access_?key${QUOTE}\s{0,4}[=:>]\s{0,4}${QUOTE})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])`,
    "gi",
  ),
  credential("GitHub token", `${START}(?:gh[opsru]_[A-Za-z0-9]{36,1000}|github_pat_[A-Za-z0-9_]{22,1000})`),
  credential("GitLab token", String.raw`${START}glpat-[\w-]{20,1000}`),
  credential("Slack token", String.raw`${START}(?:xox[abeprs]|xapp-\d)-[A-Za-z0-9-]{10,1000}`),
  credential("Anthropic key", String.raw`${START}sk-ant-[\w-]{20,1000}`),
  // Digits and capitals, or a run of letters and digits: else it is a name of words.
  credential(
    "OpenAI key",
    String.raw`${START}sk-(?!ant-)(?:(?=[A-Za-z_-]{0,200}\d)(?=[a-z\d_-]{0,200}[A-Z])[\w-]{32,1000}|(?:[a-z\d]{1,8}-){0,3}(?=[a-z]{0,64}\d)[a-z\d]{32,1000})`,
  ),
  credential("Google key", String.raw`${START}AIza[\w-]{35}(?![\w-])`),
  credential("Stripe key", `${START}[rs]k_(?:live|test)_[A-Za-z0-9]{16,1000}`),
  credential("npm token", `${START}npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])`),
  credential("JSON Web Token", String.raw`${START_OF_RUN}eyJ[\w-]{8,20000}\.eyJ[\w-]{8,20000}\.[\w-]{8,20000}`),
  // With a digit: else it is the word, and a word or a path after it.
  credential(
    "bearer token",
    String.raw`(?<=bearer(?:\s|%20){1,4})(?=[A-Za-z._~+/-]{0,200}\d)[\w.~+/-]{16,20000}={0,8}`,
    "gi",
  ),
  // No port with a path behind it, nothing that has to be escaped in a URL.
  credential(
    "password in a URL",
    String.raw`(?<=[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/?#"'<>\\{}[\]]{0,100}:)(?!\d{1,5}[/?#,;)\]])[^\s@"'<>\\{}]{1,200}(?=@)`,
    "gi",
  ),
];

/** Replaces every credential that {@link CREDENTIAL_PATTERNS} know by `[redacted NAME]`. Costs O(the text). */
export function redact_credentials(text: string): string {
  let redacted = text;
  for (const { name, pattern } of CREDENTIAL_PATTERNS) {
    redacted = redacted.replace(pattern, `[redacted ${name}]`);
  }
  return redacted;
}

function credential(name: string, source: string, flags = "g"): CredentialPattern {
  return { name, pattern: new RegExp(source, flags) };
}
