// The same declarations for ES modules.
export * from "./index.cjs";
