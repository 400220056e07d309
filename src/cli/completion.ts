/** `crypto-edge completion bash|zsh|fish`: completions made from the commands themselves, so that they never lag behind. */
import { type Argument, type Command, Option } from "commander";
import { write } from "./print.ts";

type Shell = "bash" | "zsh" | "fish";

export function registerCompletion(program: Command): void {
  program
    .command("completion")
    .argument("<shell>", "bash, zsh or fish")
    .description("print completions for a shell")
    .addHelpText(
      "after",
      `
Examples:
  crypto-edge completion bash > /etc/bash_completion.d/crypto-edge
  crypto-edge completion zsh > "\${fpath[1]}/_crypto-edge"
  crypto-edge completion fish > ~/.config/fish/completions/crypto-edge.fish`,
    )
    .action((shell: string) => {
      if (!Object.hasOwn(WRITERS, shell))
        program.error(`error: there are completions for bash, zsh and fish, not for "${shell}"`);
      write(completions(program, shell as Shell));
    });
}

/** One command as a shell needs it. */
interface Completed {
  /** Words that lead to it: `["core", "service", "list"]`; empty for the program itself. */
  readonly path: readonly string[];
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly { readonly flag: string; readonly description: string }[];
  readonly takesFile: boolean;
}

export function completions(program: Command, shell: Shell): string {
  return WRITERS[shell](walk(program, []));
}

function walk(command: Command, path: readonly string[]): Completed[] {
  const visible = command.commands.filter((each) => !(each as unknown as { _hidden?: boolean })._hidden);
  const own: Completed = {
    path,
    commands: visible.map((each) => ({ name: each.name(), description: each.description() })),
    options: [...command.options, new Option("-h, --help", "help")]
      .filter(({ hidden }) => !hidden)
      .flatMap((option) =>
        option.long === undefined ? [] : [{ flag: option.long as string, description: option.description }],
      ),
    takesFile: command.registeredArguments.some((each: Argument) => /file|dir|certificates/.test(each.name())),
  };
  return [own, ...visible.flatMap((each) => walk(each, [...path, each.name()]))];
}

const words = ({ commands, options }: Completed): string =>
  [...commands.map(({ name }) => name), ...options.map(({ flag }) => flag)].join(" ");

function bash(all: readonly Completed[]): string {
  const cases = all.map(
    (each) => `    "${each.path.join(" ")}") words="${words(each)}"; files=${each.takesFile ? 1 : 0} ;;`,
  );
  return `# bash completion for crypto-edge
_crypto_edge() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words files=0
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
      -*) ;;
      *) case " ${knownPaths(all)} " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac ;;
    esac
  done
  case "\${path//\\// }" in
${cases.join("\n")}
    *) words=""; files=1 ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ "$files" = 1 ] || [ \${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY+=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _crypto_edge crypto-edge
`;
}

function zsh(all: readonly Completed[]): string {
  const quote = (text: string): string =>
    text.replaceAll("'", "’").replaceAll(":", "\\:").replaceAll("[", "(").replaceAll("]", ")");
  const cases = all.map((each) => {
    const entries = [
      ...each.commands.map(({ name, description }) => `'${name}:${quote(description)}'`),
      ...each.options.map(({ flag, description }) => `'${flag}:${quote(description)}'`),
    ];
    return `    "${each.path.join(" ")}") entries=(${entries.join(" ")}); files=${each.takesFile ? 1 : 0} ;;`;
  });
  return `#compdef crypto-edge
_crypto_edge() {
  local -a entries
  local at="" word files=0
  for word in \${words[2,CURRENT-1]}; do
    case "$word" in
      -*) ;;
      *) case " ${knownPaths(all)} " in *" \${at:+$at/}$word "*) at="\${at:+$at/}$word" ;; esac ;;
    esac
  done
  case "\${at//\\// }" in
${cases.join("\n")}
    *) files=1 ;;
  esac
  _describe 'crypto-edge' entries
  (( files )) && _files
}
compdef _crypto_edge crypto-edge
`;
}

function fish(all: readonly Completed[]): string {
  const quote = (text: string): string => text.replaceAll("'", "’");
  const lines = all.flatMap(({ path, commands, options }) => {
    const condition =
      path.length === 0
        ? "__fish_use_subcommand"
        : path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
    return [
      ...commands.map(
        ({ name, description }) => `complete -c crypto-edge -f -n '${condition}' -a ${name} -d '${quote(description)}'`,
      ),
      ...options.map(
        ({ flag, description }) =>
          `complete -c crypto-edge -n '${condition}' -l ${flag.slice(2)} -d '${quote(description)}'`,
      ),
    ];
  });
  return `# fish completion for crypto-edge\n${lines.join("\n")}\n`;
}

/** `core core/service core/service/list`: what is a command and not an argument. */
function knownPaths(all: readonly Completed[]): string {
  return all
    .map(({ path }) => path.join("/"))
    .filter((path) => path !== "")
    .join(" ");
}

const WRITERS: Readonly<Record<Shell, (all: readonly Completed[]) => string>> = { bash, zsh, fish };
