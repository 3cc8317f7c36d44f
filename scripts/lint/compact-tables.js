/** Prettier's Markdown, but for tables: cells are not padded, so that a change of one cell changes one line. */
import { doc } from "prettier";
import { parsers, printers } from "prettier/plugins/markdown";

const { hardline, join } = doc.builders;
const DELIMITERS = { left: ":--", right: "--:", center: ":-:" };

const row = (cells) => ["| ", join(" | ", cells), " |"];

function print_table(path, print) {
  const [head, ...rows] = path.map(() => row(path.map(print, "children")), "children");
  const delimiters = path.node.align.map((align) => DELIMITERS[align] ?? "---");
  return join(hardline, [head, row(delimiters), ...rows]);
}

const { mdast } = printers;
const compact = {
  ...mdast,
  print: (path, options, print, args) =>
    path.node.type === "table" ? print_table(path, print) : mdast.print(path, options, print, args),
};

/** Prettier takes the printer of the plugin that has the parser. */
export default { parsers: { markdown: parsers.markdown }, printers: { mdast: compact } };
