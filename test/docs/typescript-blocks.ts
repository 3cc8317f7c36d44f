import { fileURLToPath } from "node:url";
import ts from "typescript";
import { markdown_parts, PROJECT_ROOT } from "./markdown.js";

/** A module made of a block, and of those that it continues. */
export interface ExampleModule {
  /** `README.md:12`, the first line of the block. */
  name: string;
  /** The code, on the lines that it has in the document. */
  code: string;
}

const CONTINUES = /<!-- continues -->\s*$/;

/** Every TypeScript block of a document; one right below `<!-- continues -->` is appended to the block before it. */
export function typescript_blocks(document: string, markdown: string): ExampleModule[] {
  const modules: { name: string; lines: string[] }[] = [];
  let text_before = "";
  for (const { language, line, lines } of markdown_parts(markdown)) {
    if (language === undefined) {
      text_before = lines.join("\n");
    } else if (language === "ts" || language === "typescript") {
      const previous = modules.at(-1);
      if (CONTINUES.test(text_before)) {
        if (previous === undefined) {
          throw new Error(`${document}:${line} continues nothing`);
        }
        previous.lines.push(...blank(line - 1 - previous.lines.length), ...lines);
      } else {
        modules.push({ name: `${document}:${line}`, lines: [...blank(line - 1), ...lines] });
      }
    }
  }
  return modules.map(({ name, lines }) => ({ name, code: lines.join("\n") }));
}

function blank(count: number): string[] {
  return Array.from({ length: count }, () => "");
}

/** Type-checks all modules in one program, as strictly as this project. Returns what is wrong, by name of the module. */
export function type_check(modules: ExampleModule[]): Map<string, string[]> {
  const sources = new Map(modules.map((module) => [path_of(module), module]));
  const options = compiler_options();
  const files = ts.createCompilerHost(options, true);
  const host: ts.CompilerHost = {
    ...files,
    fileExists: (path) => sources.has(path) || files.fileExists(path),
    readFile: (path) => sources.get(path)?.code ?? files.readFile(path),
    getSourceFile: (path, language, ...rest) => {
      const module = sources.get(path);
      return module === undefined
        ? files.getSourceFile(path, language, ...rest)
        : ts.createSourceFile(path, module.code, language, true);
    },
  };
  const program = ts.createProgram({ rootNames: [...sources.keys()], options, host });
  const problems = new Map<string, string[]>();
  for (const [path, { name }] of sources) {
    const source = program.getSourceFile(path);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    problems.set(name, found.map(describe_diagnostic));
  }
  return problems;
}

/** In a folder of the project, so that names of packages resolve as they do everywhere in it. */
function path_of({ name }: ExampleModule): string {
  return fileURLToPath(new URL(`test/docs/${name.replaceAll(/[/:]/g, "-")}.ts`, PROJECT_ROOT));
}

/** An example may declare what it does not use, and is a module even where it imports nothing. */
const RELAXED: ts.CompilerOptions = {
  noUnusedLocals: false,
  noUnusedParameters: false,
  moduleDetection: ts.ModuleDetectionKind.Force,
};

function compiler_options(): ts.CompilerOptions {
  const root = fileURLToPath(PROJECT_ROOT);
  const path = `${root}tsconfig.json`;
  const config = ts.readConfigFile(path, (file) => ts.sys.readFile(file)).config as object;
  return ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root, RELAXED, path).options;
}

function describe_diagnostic({ file, start = 0, messageText: message_text }: ts.Diagnostic): string {
  const line = file && file.getLineAndCharacterOfPosition(start).line + 1;
  return `line ${line}: ${ts.flattenDiagnosticMessageText(message_text, "\n")}`;
}
