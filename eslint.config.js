import js from "@eslint/js";
import ts from "typescript-eslint";
import local from "./scripts/lint/rules.js";

const SNAKE_NAMES = [
  { selector: "default", format: ["snake_case"], leadingUnderscore: "allow" },
  { selector: "import", format: null },
  { selector: "variable", modifiers: ["const", "global"], format: ["snake_case", "UPPER_CASE"] },
  { selector: "variable", modifiers: ["const"], types: ["function"], format: ["snake_case", "PascalCase"] },
  { selector: "typeLike", format: ["PascalCase"] },
  { selector: ["objectLiteralProperty", "objectLiteralMethod", "typeProperty", "typeMethod"], format: null },
  { selector: ["classMethod", "classProperty"], modifiers: ["requiresQuotes"], format: null },
];

/** Globals that a test may replace; the library keeps to the originals. */
const TIMERS = [
  "setTimeout",
  "clearTimeout",
  "setInterval",
  "clearInterval",
  "setImmediate",
  "queueMicrotask",
  "performance",
];

/** The run removes what is in its temporary directories, and fails where something is left. */
const DIRECTORIES = ["Identifier[name=/^mkdtemp/]", "Literal[value='/dev/shm']"].map((selector) => ({
  selector,
  message: "Use test/support/temporary-directory.ts.",
}));

export default ts.config(
  { ignores: ["dist/", "coverage/", ".tmp/", "test/data/", "test/package/project/", "test/prisma/generated/"] },
  js.configs.recommended,
  ...ts.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-empty": ["error", { allowEmptyCatch: false }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/naming-convention": ["error", ...SNAKE_NAMES],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/return-await": ["error", "in-try-catch"],
    },
  },
  {
    files: ["src/**/*.ts"],
    rules: { "max-lines": ["error", { max: 450 }] },
  },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/async/timers.ts"],
    rules: {
      "no-restricted-globals": ["error", ...TIMERS.map((name) => ({ name, message: "Use src/async/timers.ts." }))],
      "no-restricted-imports": ["error", "node:timers", "node:timers/promises", "node:perf_hooks"],
    },
  },
  {
    files: ["test/**/*.ts"],
    ignores: ["test/support/{temporary,run}-director{y,ies}.ts"],
    rules: { "no-restricted-syntax": ["error", ...DIRECTORIES] },
  },
  {
    plugins: { local },
    rules: { "local/comment-beginnings": "error", "local/cycles": "error" },
  },
  { files: ["**/*.md"], processor: "local/markdown" },
  {
    files: ["**/*.js"],
    extends: [ts.configs.disableTypeChecked],
  },
);
