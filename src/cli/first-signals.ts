/**
 * Imported before anything else: a process that is going to serve must not end by a reload signal that comes while it starts. What has
 * to be done at a SIGHUP is decided later (base/system/reload-signal.ts); a start that is not over takes the newest files anyway.
 */
const [command, subcommand] = process.argv.slice(2);
if (command === "serve" || (command === "core" && subcommand === "serve")) process.on("SIGHUP", () => undefined);
