/** Whether the command is one of those that serve until they are ended. */
export function isServing([command, subcommand]: readonly string[]): boolean {
  return command === "serve" || (command === "core" && subcommand === "serve");
}
