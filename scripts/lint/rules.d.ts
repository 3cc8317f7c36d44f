import type { ESLint, Linter } from "eslint";

declare const plugin: ESLint.Plugin & {
  processors: {
    markdown: {
      preprocess(text: string, filename: string): [];
      postprocess(messages: [], filename: string): Linter.LintMessage[];
    };
  };
};
export default plugin;
