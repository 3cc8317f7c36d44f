/** A kind of credential, by what its texts look like. */
export interface CredentialPattern {
  name: string;
  pattern: RegExp;
}

/**
 * Credentials that can be told by their form alone. Passwords and keys of no particular form are not among them: those
 * take a `redact` of your own. Each is found in time that is proportional to the text: what repeats has a bound, for
 * the stack of the regexp too, and what is long begins only once a run.
 */
export const CREDENTIAL_PATTERNS: readonly CredentialPattern[] = /* @__PURE__ */ credential_patterns();

function credential_patterns(): CredentialPattern[] {
  /** Matches before a credential: no letter or digit, unless it ends an escape: `\n`, `\u003d`, `%3D`. */
  const start = String.raw`(?:(?<![A-Za-z0-9])|(?<=\\[nrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}))`;
  /** The same for what may be as long as it likes: near the start of a run, so that no run is searched again and again. */
  const start_of_run = String.raw`(?:(?<=(?<![\w-])(?:\w{0,40}_)?)|(?<=\\[nrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}))`;

  /** A quotation mark, escaped or not. */
  const quote = String.raw`(?:\\{0,3}["'])?`;

  const key_name = String.raw`(?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----`;
  /** Between the lines of a key: line breaks, escaped ones, and what a program puts around them. */
  const between = String.raw`(?:\\{1,4}[nrt]|[^A-Za-z0-9\\]){0,40}`;
  const key_headers = String.raw`(?:(?:\\{1,4}[nrt]|\s){0,8}[A-Z][A-Za-z-]{1,30}: [^\n\\]{1,200}(?=[\n\\])){0,8}`;
  const key_line = "(?=[A-Za-z0-9])[A-Za-z0-9+/=]{32,2000}";
  const key_end = String.raw`[^-]{0,20000}(?:-(?!----)[^-]{0,20000}){0,200}-----END ${key_name}`;

  return [
    credential(
      "private key",
      `-----BEGIN ${key_name}${key_headers}${between}(?=[A-Za-z0-9])[A-Za-z0-9+/=]{32}(?:${key_end}|[A-Za-z0-9+/=]{0,2000}(?:${between}${key_line}){0,1000})`,
    ),
    credential("AWS access key", `${start}(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])`),
    credential(
      "AWS secret key",
      String.raw`(?<=secret_?access_?key${quote}\s{0,4}[=:>]\s{0,4}${quote})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])`,
      "gi",
    ),
    credential("GitHub token", `${start}(?:gh[opsru]_[A-Za-z0-9]{36,1000}|github_pat_[A-Za-z0-9_]{22,1000})`),
    credential("GitLab token", String.raw`${start}glpat-[\w-]{20,1000}`),
    credential("Slack token", String.raw`${start}(?:xox[abeprs]|xapp-\d)-[A-Za-z0-9-]{10,1000}`),
    credential("Anthropic key", String.raw`${start}sk-ant-[\w-]{20,1000}`),
    // Digits and capitals, or a run of letters and digits: else it is a name of words.
    credential(
      "OpenAI key",
      String.raw`${start}sk-(?!ant-)(?:(?=[A-Za-z_-]{0,200}\d)(?=[a-z\d_-]{0,200}[A-Z])[\w-]{32,1000}|(?:[a-z\d]{1,8}-){0,3}(?=[a-z]{0,64}\d)[a-z\d]{32,1000})`,
    ),
    credential("Google key", String.raw`${start}AIza[\w-]{35}(?![\w-])`),
    credential("Stripe key", `${start}[rs]k_(?:live|test)_[A-Za-z0-9]{16,1000}`),
    credential("npm token", `${start}npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])`),
    credential("JSON Web Token", String.raw`${start_of_run}eyJ[\w-]{8,20000}\.eyJ[\w-]{8,20000}\.[\w-]{8,20000}`),
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
}

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
