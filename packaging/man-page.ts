/** The man pages crypto-edge(1) and crypto-edge-core(1), made from the help texts of the commands: one place says what there is. */
import type { Command } from "commander";

export function manPage(program: Command, version: string, date: string): string {
  const lines = [
    `.TH CRYPTO-EDGE 1 "${date}" "crypto-edge ${version}" "User Commands"`,
    ".SH NAME",
    `crypto\\-edge \\- ${text(uncapitalized(program.description()))}`,
    ".SH SYNOPSIS",
    ".B crypto\\-edge",
    ".I command",
    "[options]",
    ".SH DESCRIPTION",
    text(program.description()),
    ".SH COMMANDS",
    ...leaves(program, []).flatMap(describe),
    ".SH FILES",
    ...tagged("/etc/crypto-edge/edge.yaml", "The edge's configuration, where it is installed from the package."),
    ...tagged("/run/crypto-edge/", "Its Unix sockets."),
    ...tagged("/var/log/crypto-edge/audit.jsonl", "Its audit, where the configuration asks for it."),
    ".SH SIGNALS",
    ...tagged("SIGHUP", "Take the configuration's policies anew, and read certificates again."),
    ...tagged("SIGTERM, SIGINT", "Finish what is in flight, send what was counted, wipe every key, and exit."),
    ".SH EXIT STATUS",
    ...tagged("0", "Done."),
    ...tagged("1", "Failed; standard error says why."),
    ...tagged("2", "Used wrongly."),
  ];
  return `${lines.join("\n")}\n`;
}

/** For whoever runs a Core: its commands, its files, and those of the certificates. */
export function coreManPage(program: Command, version: string, date: string): string {
  const core = program.commands.find((command) => command.name() === "core")!;
  const pki = program.commands.find((command) => command.name() === "pki")!;
  const lines = [
    `.TH CRYPTO-EDGE-CORE 1 "${date}" "crypto-edge ${version}" "User Commands"`,
    ".SH NAME",
    `crypto\\-edge\\-core \\- ${text(uncapitalized(core.description()))}`,
    ".SH SYNOPSIS",
    ".B crypto\\-edge core",
    ".I command",
    "[options]",
    ".SH DESCRIPTION",
    text(
      "The reference Core of crypto-edge: it keeps service keys, and leases them to edges. The program is crypto-edge itself.",
    ),
    ".SH COMMANDS",
    ...leaves(core, ["core"]).flatMap(describe),
    ".SH CERTIFICATES",
    ...leaves(pki, ["pki"]).flatMap(describe),
    ".SH FILES",
    ...tagged("/etc/crypto-edge-core/core.yaml", "The Core's configuration, where it is installed from the package."),
    ...tagged("/usr/share/doc/crypto-edge-core/examples/core.yaml", "The same as it was delivered."),
    ".SH SEE ALSO",
    ".BR crypto\\-edge (1)",
  ];
  return `${lines.join("\n")}\n`;
}

interface Leaf {
  readonly path: readonly string[];
  readonly command: Command;
}

/** The commands that do something, by their whole names. */
function leaves(command: Command, path: readonly string[]): Leaf[] {
  return command.commands.flatMap((child) => {
    const childPath = [...path, child.name()];
    return child.commands.length > 0 ? leaves(child, childPath) : [{ path: childPath, command: child }];
  });
}

function describe({ path, command }: Leaf): string[] {
  const help = command.createHelp();
  const options = help.visibleOptions(command).filter((option) => option.long !== "--help");
  const usage = command.usage().replace(/^\[options\] ?/, "");
  return [
    ".TP",
    `\\fBcrypto\\-edge ${text(path.join(" "))}\\fR ${text(usage)}`.trimEnd(),
    `${text(capitalized(command.description()))}.`,
    ...options.flatMap((option) => [
      ".RS",
      ".TP",
      `\\fB${text(option.flags)}\\fR`,
      text(capitalized(help.optionDescription(option))),
      ".RE",
    ]),
  ];
}

function tagged(tag: string, description: string): string[] {
  return [".TP", `\\fB${text(tag)}\\fR`, text(description)];
}

/** Escapes what roff would read as its own. */
function text(plain: string): string {
  return plain
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1")
    .replaceAll("…", "...");
}

function capitalized(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

function uncapitalized(sentence: string): string {
  return (sentence.charAt(0).toLowerCase() + sentence.slice(1)).replace(/\.$/, "");
}
