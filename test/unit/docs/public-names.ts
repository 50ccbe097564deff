/**
 * What the package exports, as its emitted `.d.ts` files say: names, signatures as they are written there, and doc comments.
 *
 * Read with the compiler's own programming interface. Version 7 calls that unstable; this file alone uses it.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Node, type SourceFile, SyntaxKind } from "typescript/unstable/ast";
import { API, type Checker, type Project, type Symbol as TsSymbol } from "typescript/unstable/sync";
import { packageRoot } from "../../servers/find.js";

export interface PublicName {
  readonly name: string;
  readonly kind: "function" | "class" | "value" | "type";
  /** Without doc comment, without what is private or marked `@internal`. Of overloads: all, a line each. */
  readonly signature: string;
  /** Text of the doc comment, without its stars. Empty: there is none. */
  readonly comment: string;
}

export interface ExportList {
  /** As users import it: `millrace/functions`. */
  readonly specifier: string;
  readonly names: readonly PublicName[];
}

/** By specifier, the file of its declarations. */
const LISTS = { millrace: "index", "millrace/functions": "functions" } as const;

export async function exportLists(): Promise<ExportList[]> {
  const cache = join(packageRoot(), ".cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "names-"));
  const files = Object.values(LISTS).map((file) => join(packageRoot(), "dist", "src", `${file}.d.ts`));
  const config = join(folder, "tsconfig.json");
  await writeFile(
    config,
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: { noEmit: true }, include: [], files }),
  );
  const api = new API({ cwd: packageRoot() });
  try {
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config)!;
    return Object.keys(LISTS).map((specifier, i) => ({ specifier, names: namesOf(project, files[i]!) }));
  } finally {
    api.close();
    await rm(folder, { recursive: true });
  }
}

function namesOf({ program, checker }: Project, file: string): PublicName[] {
  const list = checker.getSymbolAtLocation(program.getSourceFile(file)!)!;
  return checker
    .getExportsOfModule(list)
    .map((exported) => publicName(exported.name, targetOf(exported, checker)))
    .sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
}

function targetOf(exported: TsSymbol, checker: Checker): TsSymbol {
  const isAlias = exported.declarations.some(({ kind }) => kind === SyntaxKind.ExportSpecifier);
  return isAlias ? checker.getAliasedSymbol(exported) : exported;
}

function publicName(name: string, symbol: TsSymbol): PublicName {
  const declarations = symbol.declarations.map((handle) => statementOf(handle.resolve()!));
  const comments = declarations.map((node) => commentOf(node)).filter((text) => text !== "");
  return {
    name,
    kind: kindOf(declarations[0]!),
    signature: declarations.map(signatureOf).join("\n"),
    comment: comments.join("\n\n"),
  };
}

/** A constant is declared within a statement, which has the comment and the word `const`. */
function statementOf(node: Node): Node {
  return node.kind === SyntaxKind.VariableDeclaration ? node.parent.parent : node;
}

function kindOf({ kind }: Node): PublicName["kind"] {
  if (kind === SyntaxKind.FunctionDeclaration) return "function";
  if (kind === SyntaxKind.ClassDeclaration) return "class";
  return kind === SyntaxKind.VariableStatement ? "value" : "type";
}

/** From after what is before it: comments are in front of the text, and belong to the node. */
const textWith = (node: Node): string => sourceOf(node).text.slice(node.pos, node.end);

function sourceOf(node: Node): SourceFile {
  let at = node;
  while (at.kind !== SyntaxKind.SourceFile) at = at.parent;
  return at as SourceFile;
}

const COMMENT = /\/\*\*([\s\S]*?)\*\//g;

function commentOf(node: Node): string {
  const before = textWith(node).slice(0, node.getStart() - node.pos);
  const last = [...before.matchAll(COMMENT)].at(-1)?.[1] ?? "";
  return last.replace(/^[ \t]*\* ?/gm, "").trim();
}

function signatureOf(node: Node): string {
  const source = sourceOf(node);
  let text = "";
  let from = node.getStart();
  for (const member of hiddenMembers(node)) {
    text += source.text.slice(from, member.pos);
    from = member.end;
  }
  return tidy(text + source.text.slice(from, node.end));
}

function hiddenMembers(node: Node): Node[] {
  const hidden: Node[] = [];
  node.forEachChild((child) => {
    const own = sourceOf(child).text.slice(child.getStart(), child.end);
    const isHidden =
      /^(#private|private |readonly \[[A-Z]|constructor\([^)]*@internal)/.test(own) ||
      /@internal/.test(commentOf(child));
    if (isHidden) hidden.push(child);
    return undefined;
  });
  return hidden;
}

/** What the emitter puts around names and words, and nobody writes. */
function tidy(signature: string): string {
  return signature
    .replaceAll(/import\("[^"]*"\)\./g, "")
    .replace(/^export declare /, "")
    .replace(/^export /, "")
    .replaceAll(/^( {4})+/gm, (indent) => indent.slice(indent.length / 2));
}
