/** Pages of docs/api: one for each export list, a section for each name. */
import type { ExportList, PublicName } from "./public-names.js";

const GROUPS = [
  ["function", "Functions"],
  ["class", "Classes"],
  ["value", "Values"],
  ["type", "Types"],
] as const;

/** File name of a list's page. */
export const pageName = ({ specifier }: ExportList): string => `${specifier.replaceAll("/", "-")}.md`;

export function apiPage(list: ExportList, all: readonly ExportList[]): string {
  const groups = GROUPS.map(([kind, title]) => ({ title, names: list.names.filter((name) => name.kind === kind) }));
  const filled = groups.filter(({ names }) => names.length > 0);
  const contents = filled.map(
    ({ title, names }) => `${title}: ${names.map(({ name }) => `[${name}](${anchor(name)})`).join(", ")}.`,
  );
  const sections = filled.flatMap(({ title, names }) => [
    `## ${title}`,
    ...names.flatMap((name) => section(name, list, all)),
  ]);
  const head = `Made of the declarations and their comments by a test (\`MILLRACE_GOLDEN=write\`). How things go together: [the guide](../guide/README.md).`;
  return `${[`# ${list.specifier}`, head, ...contents, ...sections].join("\n\n")}\n`;
}

const anchor = (name: string): string => `#${name.toLowerCase()}`;

function section(name: PublicName, list: ExportList, all: readonly ExportList[]): string[] {
  const links = seen(name, list, all);
  return [
    `### ${name.name}`,
    `\`\`\`typescript\n${name.signature}\n\`\`\``,
    ...(name.comment === "" ? [] : [commentText(name.comment)]),
    ...(links.length === 0 ? [] : [`See ${links.join(", ")}.`]),
  ];
}

/** Exported names that the signature has. */
function seen({ name, signature }: PublicName, list: ExportList, all: readonly ExportList[]): string[] {
  const words = new Set(signature.replaceAll(/\/\*[\s\S]*?\*\//g, "").match(/\b[A-Z]\w+/g));
  words.delete(name);
  return [...words].sort().flatMap((word) => {
    // The own list first: a name may be in both.
    const owner = [list, ...all].find(({ names }) => names.some((one) => one.name === word));
    return owner === undefined ? [] : [`[${word}](${owner === list ? "" : pageName(owner)}${anchor(word)})`];
  });
}

/** Tags become list items; a page of the docs becomes a link. */
function commentText(comment: string): string {
  const lines = comment.split("\n");
  const first = lines.findIndex((line) => line.startsWith("@"));
  const words = first === -1 ? lines : lines.slice(0, first);
  const tags = (first === -1 ? [] : lines.slice(first)).map(tagText);
  return [words.join("\n").trim(), tags.join("\n")]
    .filter((part) => part !== "")
    .join("\n\n")
    .replaceAll(/(?<![\w`/(])docs\/([\w./-]+\.md)/g, "[docs/$1](../$1)");
}

function tagText(line: string): string {
  const tag = /^@(\w+)(?: (?:\{(\w+)\} )?(.*))?$/s.exec(line);
  if (tag === null) return `  ${line}`;
  const [, kind, type, rest = ""] = tag;
  if (kind === "param" || kind === "typeParam") return rest.replace(/^(\w+)/, "- `$1`:");
  if (kind === "returns") return `- returns: ${rest}`;
  if (kind === "throws") return `- throws${type === undefined ? "" : ` \`${type}\``}: ${rest}`;
  return `- ${kind}: ${rest}`;
}
