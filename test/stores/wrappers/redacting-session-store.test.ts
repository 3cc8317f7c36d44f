import { Conversation, next_reply, StreamingProvider, type Message } from "@simulacra-ai/core";
import {
  as_stored,
  AS_STORED,
  CREDENTIAL_PATTERNS,
  EncryptedSessionStore,
  InMemorySessionStore,
  type ChangesWhatItKeeps,
  redact_credentials,
  RedactingSessionStore,
  SessionManager,
  type SessionStore,
} from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { turns, user } from "../../support/messages.js";

const X = (count: number) => "aB3dE5fG7h".repeat(20).slice(0, count);

/** What is redacted, and what looks like it and is not. */
const EXAMPLES: Record<string, { positive: string[]; negative: string[] }> = {
  "private key": {
    positive: [
      `-----BEGIN RSA PRIVATE KEY-----\n${X(64)}\n-----END RSA PRIVATE KEY-----`,
      `-----BEGIN OPENSSH PRIVATE KEY-----\n${X(64)}`,
      `-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\n${X(64)}\n${X(9)}==\n-----END RSA PRIVATE KEY-----`,
      `"-----BEGIN PRIVATE KEY-----\\n${X(64)}\\n${X(12)}\\n-----END PRIVATE KEY-----\\n"`,
      `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${X(64)}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----`,
    ],
    negative: [
      `-----BEGIN PUBLIC KEY-----\n${X(64)}\n-----END PUBLIC KEY-----`,
      "a private key",
      'if (text.startsWith("-----BEGIN PRIVATE KEY-----")) { parse(text); } // and 500 more lines of code',
    ],
  },
  "AWS access key": { positive: ["AKIAIOSFODNN7EXAMPLE"], negative: ["AKIA-is-a-prefix", "XAKIAIOSFODNN7EXAMPLE1"] },
  "AWS secret key": {
    positive: [
      `aws_secret_access_key = ${X(40)}`,
      `"aws_secret_access_key": "${X(40)}"`,
      `{\\"aws_secret_access_key\\": \\"${X(40)}\\"}`,
      `"SecretAccessKey": "${X(40)}"`,
      `<SecretAccessKey>${X(40)}</SecretAccessKey>`,
    ],
    negative: [`sha: ${X(40)}`, `aws_secret_access_key = ${X(39)}`],
  },
  "GitHub token": {
    positive: [
      ...[`ghp_${X(36)}`, `github_pat_${X(30)}`, `"A=1\\nghp_${X(36)}\\n"`, `url%3Dghp_${X(36)}`],
      ...[`TOKEN_ghp_${X(36)}`, `"\\u003dghp_${X(36)}"`],
    ],
    negative: ["ghp_short", "github_pattern", `xghp_${X(36)}`],
  },
  "GitLab token": { positive: [`glpat-${X(20)}`], negative: ["glpat-short"] },
  "Slack token": {
    positive: [`xoxb-123456789012-${X(20)}`, `xapp-1-A0123-${X(30)}`],
    negative: ["xoxo-with-love-and-kisses"],
  },
  "Anthropic key": { positive: [`sk-ant-api03-${X(40)}`], negative: ["sk-ant-short"] },
  "OpenAI key": {
    positive: [`sk-${X(48)}`, `sk-proj-${X(48)}`, `sk-${"0a1b".repeat(8)}`, `sk-or-v1-${"0a1b".repeat(16)}`],
    negative: [
      ...["sk-short", "risk-assessment", "sk-fix-the-login-redirect-on-mobile-devices"],
      "/blog/sk-co-je-nove-v-novej-verzii-aplikacie",
    ],
  },
  "Google key": { positive: [`AIza${X(35)}`], negative: [`AIza${X(20)}`] },
  "Stripe key": { positive: [`sk_live_${X(24)}`, `rk_test_${X(24)}`], negative: ["sk_live_short"] },
  "npm token": { positive: [`npm_${X(36)}`], negative: ["npm_config_registry"] },
  "JSON Web Token": {
    positive: ["", "TOKEN_", "\\n", "token%3D"].map((start) => `${start}eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${X(20)}`),
    negative: ["eyJ.eyJ.x", `x${"eyJhbGciOiJIUzI1NiJ9."}`],
  },
  "bearer token": {
    positive: [`Authorization: Bearer ${X(30)}`, `Bearer  ${X(30)}`, `bearer\t${X(30)}`, `Bearer%20${X(30)}`],
    negative: [
      ...["the bearer of news", "Bearer short", "the bearer responsibilities"],
      "Bearer src/middleware/authentication.ts",
    ],
  },
  "password in a URL": {
    positive: [
      ...["postgres://user:hunter2@localhost/db", "redis://:hunter2@localhost:6379/0", "postgres://u:p:ss@h/db"],
      "amqp://u:p/w@h",
    ],
    negative: [
      ...["https://example.com:8080/@user", "mailto:a@b.c", "http://user@host/", "http://host:8080/path?to=a@b.c"],
      ...["ssh://git@host:22/x", "http://[::1]:8080/@x", "http://localhost:${PORT}/@x", '["http://h:x","b@y"]'],
    ],
  },
};

const LENGTH = 200_000;
const KEY = `-----BEGIN PRIVATE KEY-----\n${X(40)}`;

describe("rule 52: redact_credentials", () => {
  test("has examples for each of its patterns", () => {
    expect(CREDENTIAL_PATTERNS.map(({ name }) => name).sort()).toEqual(Object.keys(EXAMPLES).sort());
  });

  test.each(Object.entries(EXAMPLES))("%s", (name, { positive, negative }) => {
    for (const text of positive) {
      const redacted = redact_credentials(`before ${text} after`);
      expect(redacted).toContain(`[redacted ${name}]`);
      expect(redacted.startsWith("before ")).toBe(true);
      expect(redact_credentials(redacted)).toBe(redacted);
    }
    for (const text of negative) {
      expect(redact_credentials(text)).toBe(text);
    }
  });

  const milliseconds = (text: string) => {
    const from = performance.now();
    redact_credentials(text);
    return performance.now() - from;
  };
  test.each([
    ...["-----BEGIN ", "-----BEGIN A ", "-----BEGIN PRIVATE KEY-----", KEY, `${KEY}\n-----END A `],
    ...["-AKIA", "_AKIA", "aws_secret_access_key=    ", "ghp_", "_ghp_", "github_pat_", "-glpat-", "-xoxb-", "xapp-1-"],
    ...["-sk-ant-", "-sk-", "sk-a-", "-sk-a1-", "-AIza", "-sk_live_", "_npm_"],
    ...["-eyJ", "_eyJ", "a_eyJ", "\\neyJ", "%3DeyJ", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJaaaaaaaa"],
    ...["Bearer ", "Bearer a", "Bearer%20%20", "a://", "a://b:", "ab://u:p", "://", "a:", "\\", " "],
  ])("takes time in proportion to the text, whatever that is: %j", (unit) => {
    const benign = milliseconds(X(200).repeat(LENGTH / 200));
    expect(milliseconds(unit.repeat(LENGTH / unit.length))).toBeLessThan(20 * benign + 100);
  });

  test("knows the longest texts too", () => {
    const texts = [`-----BEGIN ${"A ".repeat(3_400_000)}`, `${KEY}${"- ".repeat(1_000_000)}`, KEY.repeat(20_000)];
    for (const text of [...texts, `eyJ${X(200).repeat(30_000)}`]) {
      expect(redact_credentials(text)).not.toBe(""); // a regexp that recurses throws here
    }
  });
});

const SECRET = `ghp_${X(36)}`;

describe("rule 52: a redacting store", () => {
  test("stores no text unredacted: messages, tools, metadata, drafts", async () => {
    const inner = new InMemorySessionStore();
    const store = new RedactingSessionStore(inner);
    const tool = { type: "tool", tool_request_id: "t", tool: "sh", params: { deep: [{ env: { TOKEN: SECRET } }] } };
    const messages = [
      user(`my token is ${SECRET}`, "m1"),
      { role: "assistant" as const, id: "m2", content: [tool as never], extended: { note: SECRET } },
    ];
    const metadata = {
      label: SECRET,
      custom: { list: [SECRET] },
      checkpoint_state: { message_id: "m1", summary: SECRET },
      unheard_of: SECRET,
    };
    await store.save("s", messages, metadata);
    const { revision = "" } = (await store.load("s")) ?? {};
    await store.append("s", [user(SECRET, "m3")], { revision, metadata: { custom: { again: SECRET } } });
    await store.update("s", { label: `new ${SECRET}` });
    const partial = { content: [{ type: "text" as const, text: SECRET }] };
    await store.set_draft("s", { prompt: user(SECRET, "m4"), partial, updated_at: "2024-01-01T00:00:00.000Z" });
    const stored = JSON.stringify(await inner.load("s"));
    expect(stored).not.toContain(SECRET);
    expect(stored.match(/\[redacted GitHub token\]/g)).toHaveLength(10);
    expect((await inner.load("s"))?.messages.map(({ id }) => id)).toEqual(["m1", "m2", "m3"]);
    expect((await inner.load("s"))?.metadata.checkpoint_state?.message_id).toBe("m1");
  });

  test("redacts names too, and content that is a text", async () => {
    const inner = new InMemorySessionStore();
    const store = new RedactingSessionStore(inner);
    const other = `ghp_${X(40)}`;
    const params = { headers: { [SECRET]: 1, [other]: 2, "[redacted GitHub token]": 3 } };
    await store.save(
      "s",
      [
        {
          role: "assistant",
          content: [{ type: "tool", tool_request_id: "t", tool: "x", params }],
          [SECRET]: 1,
        } as never,
        { role: "user", content: `my token is ${SECRET}` } as never,
      ],
      JSON.parse(
        `{ "custom": { "${SECRET}": { "${SECRET}": 1 } }, "${SECRET}": true, "__proto__": { "a": 1 } }`,
      ) as object,
    );
    const stored = await inner.load("s");
    expect(JSON.stringify(stored)).not.toContain(SECRET);
    expect(stored?.messages[0]?.content).toMatchObject([
      {
        params: {
          headers: { "[redacted GitHub token]": 1, "[redacted GitHub token] 2": 2, "[redacted GitHub token] 3": 3 },
        },
      },
    ]);
    expect(stored?.messages[1]?.content).toBe("my token is [redacted GitHub token]");
  });

  test("keeps the names that the contract has, and the order of all", async () => {
    const inner = new InMemorySessionStore();
    const store = new RedactingSessionStore(inner, { redact: (text) => text.toUpperCase() });
    const message = { content: [{ text: "a", type: "text" }], role: "user", timestamp: 1, id: "m" } as Message;
    const metadata = { custom: { a: "b" }, checkpoint_state: { summary: "s", message_id: "m" }, label: "l" };
    await store.save("s", [message], metadata);
    await store.set_draft("s", { prompt: { ...message, id: "p" } as never, updated_at: "2024-01-01T00:00:00.000Z" });
    const { messages = [], metadata: stored, draft } = (await inner.load("s")) ?? {};
    const text = '{"content":[{"text":"A","type":"text"}],"role":"user","timestamp":1,"id":"m"}';
    expect(JSON.stringify(messages[0])).toBe(text);
    expect(JSON.stringify(draft?.prompt)).toBe(text.replace('"m"', '"p"'));
    expect(JSON.stringify(stored)).toContain(
      '"custom":{"A":"B"},"checkpoint_state":{"summary":"S","message_id":"m"},"label":"L"',
    );
  });

  test.each(["a harmless question", `why is ghp_${"aB3".repeat(12)} refused?`])(
    "loses the draft that it stored to a fork, as every store does: %s",
    async (text) => {
      const store = new RedactingSessionStore(new InMemorySessionStore());
      await store.save("s", turns(1));
      const conversation = new Conversation(new StreamingProvider([{ text: "b" }]));
      const manager = new SessionManager(store, conversation);
      await manager.load("s");
      await store.save("s", [...turns(1), user("theirs", "t1")]);
      await Promise.all([next_reply(conversation), conversation.prompt(text)]);
      await manager.flush();
      expect(manager.current_session_id).not.toBe("s");
      expect(await store.load("s")).not.toHaveProperty("draft");
    },
  );

  test("changes nothing of the caller's, and takes a function of the application's", async () => {
    const inner = new InMemorySessionStore();
    const store = new RedactingSessionStore(inner, { redact: (text) => text.replaceAll("Alice", "somebody") });
    const messages = [user("I am Alice", "Alice")];
    await store.save("s", messages);
    expect(messages).toEqual([user("I am Alice", "Alice")]);
    expect((await inner.load("s"))?.messages).toEqual([user("I am somebody", "Alice")]);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("no");
      },
    ],
    ["returns no text", () => undefined as never],
  ])("stores nothing where redact %s", async (_, redact) => {
    const inner = new InMemorySessionStore();
    const store = new RedactingSessionStore(inner, { redact });
    await expect(store.save("s", turns(1))).rejects.toMatchObject({ code: "invalid_input", session_id: "s" });
    expect(await inner.list()).toEqual([]);
  });

  test("leaves what is encrypted alone: changed, no key opens it", async () => {
    const inner = new InMemorySessionStore();
    const encrypting = (store: SessionStore) =>
      new EncryptedSessionStore(store, { keys: { k: new Uint8Array(32).fill(1) }, current: "k" });
    const redacting = new RedactingSessionStore(inner, { redact: (text) => text.replace(/[a-z]/g, "x") });
    const hidden: SessionStore = {
      list: () => redacting.list(),
      load: (id) => redacting.load(id),
      save: (id, messages, metadata) => redacting.save(id, messages, metadata),
      delete: (id) => redacting.delete(id),
    };
    await encrypting(hidden).save("s", turns(1));
    expect((await encrypting(hidden).load("s"))?.messages).toEqual(turns(1));
    const looks_like_it = [{ type: "raw" as const, model_kind: "simulacra-session/encrypted", data: "a secret" }];
    await redacting.save("s", [{ role: "user", content: looks_like_it }]);
    expect(JSON.stringify(await inner.load("s"))).not.toContain("a secret");
  });

  test("does not make a manager think that its history was replaced, nor behind a wrapper that passes on what it keeps", async () => {
    const inner = new InMemorySessionStore();
    const redacting = new RedactingSessionStore(inner);
    const wrapper: SessionStore & ChangesWhatItKeeps = {
      list: () => redacting.list(),
      load: (id) => redacting.load(id),
      save: (id, messages, metadata) => redacting.save(id, messages, metadata),
      delete: (id) => redacting.delete(id),
      [AS_STORED]: (parts) => as_stored(redacting, parts),
    };
    for (const store of [redacting, wrapper]) {
      const conversation = new Conversation(new StreamingProvider([{ text: `yours: ${SECRET}` }, { text: "two" }]));
      const manager = new SessionManager(store, conversation);
      const id = manager.start_new();
      await Promise.all([next_reply(conversation), conversation.prompt(`mine: ${SECRET}`)]);
      await manager.save();
      await manager.save({ label: "l" });
      await Promise.all([next_reply(conversation), conversation.prompt("more")]);
      await manager.save();
      expect((await inner.list()).map((entry) => entry.id)).toEqual([id]);
      expect((await inner.load(id))?.messages).toHaveLength(4);
      expect(JSON.stringify(conversation.messages)).toContain(SECRET);
      expect(JSON.stringify(await inner.load(id))).not.toContain(SECRET);
      await inner.delete(id);
    }
  });

  test("keeps nothing in an automatic label of a credential that is cut there", async () => {
    for (const [prompt, label] of [
      [
        "mongodb+srv://application-user:Sup3rS3cretP4ssw0rdThatIsLongEnough@cluster0/db",
        /^mongodb\+srv:\/\/application-user:\[redacted/,
      ],
      [`please use aws_secret_access_key=${X(40)} from now on`, /^please use aws_secret_access_key=\[redacted/],
    ] as const) {
      const inner = new InMemorySessionStore();
      const conversation = new Conversation(new StreamingProvider([{ text: "ok" }]));
      const manager = new SessionManager(new RedactingSessionStore(inner), conversation);
      manager.start_new();
      await Promise.all([next_reply(conversation), conversation.prompt(prompt)]);
      await manager.flush();
      expect((await inner.list())[0]).toMatchObject({ label: expect.stringMatching(label) as string });
      expect((await inner.list())[0]?.label?.length).toBeLessThanOrEqual(60);
    }
  });

  test("keeps nothing of it in the label of a fork either, where another writer was there", async () => {
    const inner = new InMemorySessionStore();
    const conversation = new Conversation(new StreamingProvider([{ text: "one" }, { text: "two" }]));
    const manager = new SessionManager(new RedactingSessionStore(inner), conversation);
    const id = manager.start_new();
    await Promise.all([next_reply(conversation), conversation.prompt(`aws_secret_access_key=${X(40)}`)]);
    await manager.flush();
    await inner.save(id, [...((await inner.load(id))?.messages ?? []), user("theirs")]);
    await Promise.all([next_reply(conversation), conversation.prompt("more")]);
    await manager.flush();
    const labels = (await inner.list()).map(({ label }) => label);
    expect(labels).toContain("aws_secret_access_key=[redacted AWS secret key] (fork)");
    expect(JSON.stringify(labels)).not.toContain(X(10));
  });

  test("leaves an automatic label alone that is of harmless text, or not of these messages", async () => {
    const inner = new InMemorySessionStore();
    const store = new RedactingSessionStore(inner);
    const message = [user(`first line\n${SECRET}`)];
    for (const label of ["first line", "first", "another label (fork)"]) {
      await store.save("s", message, { label, label_source: "auto" });
      expect((await inner.load("s"))?.metadata.label).toBe(label);
    }
  });
});
