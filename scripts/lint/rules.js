/** The lint rules of this repository. Old violations are listed in eslint-suppressions.json, which only shrinks. */
import { cyclic_imports } from "./cycles.js";
import { too_wide } from "./tables.js";

const BEGINNING = /^[\s*]*(What|Whether|Who|So many)\b/;

/** Line comments that follow each other are one comment. */
function begins_comment(comment, before) {
  const is_continued = before?.type === "Line" && before.loc.end.line === comment.loc.start.line - 1;
  return comment.type === "Block" || !is_continued;
}

const comment_beginnings = {
  meta: {
    type: "suggestion",
    messages: { beginning: 'A comment says what the code does: begin with a verb or a noun instead of "{{word}}".' },
  },
  create: (context) => ({
    Program() {
      const comments = context.sourceCode.getAllComments();
      for (const [at, comment] of comments.entries()) {
        const [, word] = BEGINNING.exec(comment.value) ?? [];
        if (word !== undefined && begins_comment(comment, comments[at - 1])) {
          context.report({ loc: comment.loc, messageId: "beginning", data: { word } });
        }
      }
    },
  }),
};

const cycles = {
  meta: { type: "problem", messages: { cycle: "Files import each other, types included: {{path}}." } },
  create: (context) => ({
    Program() {
      const { filename, sourceCode } = context;
      for (const { position, path } of cyclic_imports(filename, sourceCode.text)) {
        context.report({
          loc: sourceCode.getLocFromIndex(position),
          messageId: "cycle",
          data: { path: path.join(" → ") },
        });
      }
    },
  }),
};

const texts = new Map();
/** Lints Markdown, in which ESLint has no rules of its own. */
const markdown = {
  preprocess(text, filename) {
    texts.set(filename, text);
    return [];
  },
  postprocess(_, filename) {
    const found = too_wide(texts.get(filename));
    texts.delete(filename);
    return found.map(({ line, width }) => ({
      ruleId: "local/table-width",
      severity: 2,
      message: `A line of a table has ${width} characters. A table is read in cells of a few words: write a list.`,
      line,
      column: 1,
    }));
  },
};

export default {
  rules: { "comment-beginnings": comment_beginnings, cycles },
  processors: { markdown },
};
