/** The command line. Each command is a file in cli/, loaded when it is called: `version` must not wait for a server. */
import "./cli/first-signals.ts";
import { runProgram } from "./cli/run.ts";

process.exitCode = await runProgram(process.argv.slice(2));
