/** What this build is. `build.ts` puts the commit and the target in; from source they are told as such. */
import manifest from "../../package.json" with { type: "json" };

declare const BUILD_COMMIT: string;
declare const BUILD_TARGET: string;

export const VERSION: string = manifest.version;
export const COMMIT: string = typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "source";
export const TARGET: string = typeof BUILD_TARGET === "string" ? BUILD_TARGET : `${process.platform}-${process.arch}`;
