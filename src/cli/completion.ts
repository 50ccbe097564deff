/**
 * Completion scripts for shells, read off the program's own tree: they cannot know other commands and flags than it does. A script
 * is text alone; it starts no process while somebody types. Nothing is looked up on a cluster.
 */
import type { Argument, Command, Option } from "commander";

export const SHELLS = ["bash", "zsh"] as const;
export type Shell = (typeof SHELLS)[number];

/** What may stand at a place of the command line. */
type Values = { readonly kind: "words"; readonly words: readonly string[] } | { readonly kind: "files" | "none" };

interface Node {
  /** `savepoint create`; empty: the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly { readonly names: readonly string[]; readonly values: Values | undefined }[];
  /** Of its arguments; those that may come again and again are the last. */
  readonly values: Values;
}

export function completionScript(program: Command, shell: Shell): string {
  const nodes = nodesOf(program, [], []);
  return shell === "bash" ? bash(nodes) : zsh(nodes);
}

function nodesOf(command: Command, path: readonly string[], inherited: readonly Option[]): Node[] {
  const help = command.createHelp();
  const options = [...help.visibleOptions(command), ...inherited];
  const commands = help.visibleCommands(command).map((one) => ({ name: one.name(), description: one.description() }));
  const own: Node = {
    path: path.join(" "),
    commands,
    flags: options.map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined),
      values: option.required || option.optional ? valuesOf(option) : undefined,
    })),
    values: command.registeredArguments.map(valuesOf).find(({ kind }) => kind !== "none") ?? { kind: "none" },
  };
  const global = [...inherited, ...help.visibleOptions(command)];
  const passed = global.filter(({ long }) => long !== "--help" && long !== "--version");
  return [own, ...command.commands.flatMap((one) => nodesOf(one, [...path, one.name()], passed))];
}

/** What an option or an argument calls its value says what it is. */
function valuesOf(of: Option | Argument): Values {
  if (of.argChoices !== undefined) return { kind: "words", words: of.argChoices };
  const name = "flags" in of ? (/<([^>]+)>/.exec(of.flags)?.[1] ?? "") : of.name();
  return { kind: ["topology", "file", "folder"].includes(name) ? "files" : "none" };
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Branches of `case "$command $word"` that lead from a command to one below it. */
function descent(nodes: readonly Node[], indent: string): string {
  return nodes
    .filter(({ commands }) => commands.length > 0)
    .map(({ path, commands }) => {
      const patterns = commands.map(({ name }) => quoted(`${path} ${name}`)).join("|");
      return `${indent}${patterns}) command="\${command:+$command }$word" ;;`;
    })
    .join("\n");
}

/** Branches of `case "$command $flag"`: after a flag that takes a value stands that, and nothing else. */
function afterFlags(nodes: readonly Node[], complete: (values: Values) => string, indent: string): string {
  const branches = new Map<string, string[]>();
  for (const { path, flags } of nodes) {
    for (const { names, values } of flags) {
      if (values === undefined) continue;
      const patterns = branches.get(complete(values)) ?? [];
      patterns.push(...names.map((name) => quoted(`${path} ${name}`)));
      branches.set(complete(values), patterns);
    }
  }
  return [...branches].map(([act, patterns]) => `${indent}${patterns.join("|")}) ${act}; return ;;`).join("\n");
}

function bash(nodes: readonly Node[]): string {
  const words = (of: readonly string[]) => `_millrace_words ${of.map(quoted).join(" ")}`;
  const complete = (values: Values) =>
    values.kind === "words" ? words(values.words) : values.kind === "files" ? "_millrace_files" : "COMPREPLY=()";
  const branches = nodes.map(({ path, commands, flags, values }) => {
    const names = flags.flatMap((flag) => flag.names).filter((name) => name.startsWith("--"));
    const others = commands.length > 0 ? words(commands.map(({ name }) => name)) : complete(values);
    return `    ${quoted(path)}) case "$cur" in -*) ${words(names)} ;; *) ${others} ;; esac ;;`;
  });
  return `# Completion of millrace for bash. Load it with: source <(millrace completion bash)
_millrace_words() {
  local word
  COMPREPLY=()
  for word in "$@"; do [[ "$word" == "$cur"* ]] && COMPREPLY+=("$word"); done
}
_millrace_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}
_millrace() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" command="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$command $word" in
${descent(nodes, "      ")}
    esac
  done
  case "$command \${COMP_WORDS[COMP_CWORD - 1]}" in
${afterFlags(nodes, complete, "    ")}
  esac
  case "$command" in
${branches.join("\n")}
  esac
}
complete -F _millrace millrace
`;
}

function zsh(nodes: readonly Node[]): string {
  const words = (of: readonly string[]) => `compadd -- ${of.map(quoted).join(" ")}`;
  const complete = (values: Values) =>
    values.kind === "words" ? words(values.words) : values.kind === "files" ? "_files" : ":";
  const branches = nodes.map(({ path, commands, flags, values }) => {
    const names = flags.flatMap((flag) => flag.names).filter((name) => name.startsWith("--"));
    const described = commands.map(({ name, description }) => quoted(`${name}:${description}`));
    const others =
      commands.length > 0 ? `described=(${described.join(" ")}); _describe command described` : complete(values);
    return `    ${quoted(path)}) if [[ "$cur" == -* ]]; then ${words(names)}; else ${others}; fi ;;`;
  });
  return `#compdef millrace
# Completion of millrace for zsh. Load it, after compinit, with: source <(millrace completion zsh)
_millrace() {
  local cur="\${words[CURRENT]}" command="" word i
  local -a described
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$command $word" in
${descent(nodes, "      ")}
    esac
  done
  case "$command \${words[CURRENT - 1]}" in
${afterFlags(nodes, complete, "    ")}
  esac
  case "$command" in
${branches.join("\n")}
  esac
}
# In a folder of $fpath this file is the function itself; sourced, it has to be made known.
if [[ "$funcstack[1]" == "_millrace" ]]; then _millrace "$@"; else compdef _millrace millrace; fi
`;
}
