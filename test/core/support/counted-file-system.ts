/** The calls of `node:fs` that change something, or make it last: the process kills itself before the one whose number `KILLED_BEFORE` says. */
import * as fs from "node:fs";

export * from "node:fs";

let calls = 0;

function counted<Call extends (...given: never[]) => unknown>(call: Call): Call {
  return ((...given: Parameters<Call>) => {
    if (++calls === Number(process.env.KILLED_BEFORE)) process.kill(process.pid, "SIGKILL");
    return call(...given);
  }) as Call;
}

export const copyFileSync = counted(fs.copyFileSync);
export const fsyncSync = counted(fs.fsyncSync);
export const linkSync = counted(fs.linkSync);
export const renameSync = counted(fs.renameSync);
export const rmSync = counted(fs.rmSync);
