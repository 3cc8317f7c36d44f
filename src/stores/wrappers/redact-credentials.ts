/** A kind of credential, by what its texts look like. */
export interface CredentialPattern {
  name: string;
  pattern: RegExp;
}

/**
 * Credentials that can be told by their form alone. Passwords and keys of no particular form are not among them: those
 * take a `redact` of your own.
 */
export const CREDENTIAL_PATTERNS: readonly CredentialPattern[] = [
  {
    name: "private key",
    pattern:
      /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|$)/g,
  },
  { name: "AWS access key", pattern: /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g },
  {
    name: "AWS secret key",
    pattern: /(?<=aws_secret_access_key["']?\s{0,4}[=:]\s{0,4}["']?)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])/gi,
  },
  { name: "GitHub token", pattern: /\b(?:gh[opsru]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b/g },
  { name: "GitLab token", pattern: /\bglpat-[\w-]{20,}/g },
  { name: "Slack token", pattern: /\bxox[abeprs]-[A-Za-z0-9-]{10,}/g },
  { name: "Anthropic key", pattern: /\bsk-ant-[\w-]{20,}/g },
  { name: "OpenAI key", pattern: /\bsk-(?!ant-)(?:[a-z]+-)?[A-Za-z0-9_-]{32,}/g },
  { name: "Google key", pattern: /\bAIza[\w-]{35}(?![\w-])/g },
  { name: "Stripe key", pattern: /\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}/g },
  { name: "npm token", pattern: /\bnpm_[A-Za-z0-9]{36}\b/g },
  { name: "JSON Web Token", pattern: /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}/g },
  { name: "bearer token", pattern: /(?<=\bBearer\s)[\w.~+/-]{16,}=*/gi },
  { name: "password in a URL", pattern: /(?<=\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{1,100}:)[^\s:@/]{1,200}(?=@)/gi },
];

/** Replaces every credential that {@link CREDENTIAL_PATTERNS} know by `[redacted NAME]`. Costs O(the text). */
export function redact_credentials(text: string): string {
  let redacted = text;
  for (const { name, pattern } of CREDENTIAL_PATTERNS) {
    redacted = redacted.replace(pattern, `[redacted ${name}]`);
  }
  return redacted;
}
