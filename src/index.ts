export { as_stored, AS_STORED } from "./capabilities.js";
export type { ChangesWhatItKeeps, SessionParts } from "./capabilities.js";
export { copy_sessions } from "./copy-sessions.js";
export type { CopyOptions, CopyProgress, CopyReport, CopyResult } from "./copy-sessions.js";
export { SessionManager } from "./manager/session-manager.js";
export { FileSessionStore } from "./stores/file/file-session-store.js";
export type { FileSessionStoreOptions } from "./stores/file/file-session-store.js";
export type { FileSystemFeatures } from "./stores/file/fs/features.js";
export type { FileSessionRepair } from "./stores/file/repair/repair-session.js";
export type { FileSessionFormat } from "./stores/file/format/snapshot-header.js";
export type { FileSessionProblem } from "./stores/file/repair/verify-directory.js";
export { DrizzleSessionStore } from "./stores/drizzle-session-store.js";
export type { DrizzleSessionAdapter, DrizzleSessionAppend, DrizzleSessionRow } from "./stores/drizzle-session-store.js";
export { PrismaSessionStore } from "./stores/prisma-session-store.js";
export type { PrismaSessionDelegate, PrismaSessionRow } from "./stores/prisma-session-store.js";
export { InMemorySessionStore } from "./stores/in-memory-session-store.js";
export { EncryptedSessionStore } from "./stores/wrappers/encrypted-session-store.js";
export type { EncryptedSessionStoreOptions } from "./stores/wrappers/encrypted-session-store.js";
export { CREDENTIAL_PATTERNS, redact_credentials } from "./stores/wrappers/redact-credentials.js";
export type { CredentialPattern } from "./stores/wrappers/redact-credentials.js";
export { RedactingSessionStore } from "./stores/wrappers/redacting-session-store.js";
export type { RedactingSessionStoreOptions } from "./stores/wrappers/redacting-session-store.js";
export type { EncryptionKeys } from "./stores/wrappers/session-cipher.js";
export { SessionError } from "./errors.js";
export type { SessionErrorCode, SessionErrorDetails } from "./errors.js";
export type {
  ConflictEvent,
  DeleteOptions,
  ForkOptions,
  LoadEvent,
  SaveMetadata,
  SessionConversation,
  SessionManagerEvents,
  SessionManagerOptions,
  SessionSnapshot,
} from "./manager/types.js";
export { apply_query, compare_sessions, merge_metadata, session_kind } from "./metadata.js";
export type { MetadataPatch } from "./metadata.js";
export { MANAGER_CHANNEL, STORE_CHANNEL, traced } from "./tracing.js";
export type { SessionTrace } from "./tracing.js";
export type {
  SessionDraft,
  SessionKind,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  SessionUsage,
  StoredSession,
} from "./types.js";
