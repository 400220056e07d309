/** The command that this process was started with: the executable alone, or Bun and the program's source. */
export function thisProgram(): string[] {
  const script = process.argv[1];
  const isCompiled = script === undefined || script.startsWith("/$bunfs/") || script.startsWith("B:\\~BUN\\");
  return isCompiled ? [process.execPath] : [process.execPath, script];
}
