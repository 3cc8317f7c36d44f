import { existsSync, readFileSync, statSync } from "node:fs";
import { project_file, PROJECT_ROOT, prose } from "./markdown.js";

const { homepage, repository } = JSON.parse(project_file("package.json")) as {
  homepage: string;
  repository: { directory: string };
};

/** Begins every link to a file that is in the repository and not in the package. */
const REPOSITORY_FILES = `${homepage}/blob/main/${repository.directory}/`;

const ABSOLUTE = /^[a-z][a-z0-9+.-]*:|^\/\//i;

/** Where the links of a document lead. */
export function links_of(markdown: string): string[] {
  const text = prose(markdown).replaceAll(/`[^`]*`/g, "");
  const inline = text.matchAll(/\]\(\s*(?:<([^>]+)>|([^)\s]+))/g);
  const defined = text.matchAll(/^ {0,3}\[[^\]]+\]:\s*(?:<([^>]+)>|(\S+))/gm);
  const html = text.matchAll(/\b(?:href|src)="([^"]+)"/g);
  const bare = text.matchAll(/\bhttps?:\/\/[^\s)>"|]*[^\s)>"|.,;:!?]/g);
  const targets = [...inline, ...defined, ...html].map(([, bracketed, target = ""]) => bracketed ?? target);
  return [...new Set([...targets, ...Array.from(bare, ([target]) => target)])];
}

/** True where a link leads out of the package and out of its repository. */
export function leads_elsewhere(link: string): boolean {
  return ABSOLUTE.test(link) && link !== homepage && !link.startsWith(`${homepage}/`);
}

/**
 * Says why a link of a document leads nowhere, if it does; links to other hosts are not followed.
 * @param root - where the documents are that it may lead to: the project, or the package as it is installed.
 */
export function broken(document: string, link: string, root: URL = PROJECT_ROOT): string | undefined {
  const is_repository_file = link.startsWith(REPOSITORY_FILES);
  if (ABSOLUTE.test(link) && !is_repository_file) {
    return undefined;
  }
  const base = is_repository_file ? PROJECT_ROOT : root;
  const target = is_repository_file
    ? new URL(link.slice(REPOSITORY_FILES.length), PROJECT_ROOT)
    : new URL(link, new URL(document, root));
  const anchor = decodeURIComponent(target.hash.slice(1));
  target.hash = "";
  if (!target.href.startsWith(base.href)) {
    return `${link} leads out of the ${base === PROJECT_ROOT ? "project" : "package"}`;
  }
  if (!existsSync(target)) {
    return `${link} does not exist`;
  }
  if (anchor !== "" && (!statSync(target).isFile() || !anchors_of(readFileSync(target, "utf8")).has(anchor))) {
    return `${link} names no heading`;
  }
  return undefined;
}

/** The anchors of a document's headings, as hosts of repositories make them. */
function anchors_of(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of prose(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = text.replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) {
      unique = `${anchor}-${count}`;
    }
    anchors.add(unique);
  }
  return anchors;
}
