/** A process with the PKCS#11 plugin in it: runs the steps of a JSON file and prints each one's result as a line. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import pkcs11 from "pkcs11js";
import { createPkcs11Source } from "../../../plugins/pkcs11/plugin.ts";
import type { KeySourceError, LeaseGrant, LeaseRequest } from "../../../src/edge/key-source/key-source.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

interface Step {
  readonly lease?: LeaseRequest;
  readonly together?: number;
  readonly containedIn?: string;
  readonly advance?: number;
  readonly health?: true;
  readonly run?: readonly [string, ...string[]];
  readonly move?: readonly [string, string];
  readonly thenMake?: string;
  readonly replace?: boolean;
}

const { section, steps } = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as { section: object; steps: Step[] };
const clock = new VirtualClock();
let logins = 0;
const login = pkcs11.PKCS11.prototype.C_Login;
pkcs11.PKCS11.prototype.C_Login = function (...args) {
  logins++;
  return login.apply(this, args);
};
const silent = { info() {}, warn() {}, error() {} };
const nothing = { add() {}, set() {}, observe() {} };
const source = createPkcs11Source({ sessions: 4, ttl: 300_000, refresh_after: 240_000, ...section } as never, {
  log: silent,
  clock,
  metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
  edgeId: "edge-test",
  directory: "/",
  signal: new AbortController().signal,
  attempt: async (_name, run) => run(),
  follow: async ({ take }) => take(),
});
const never = new AbortController().signal;

function shown({ versions }: LeaseGrant) {
  return {
    versions: versions.map(({ version, state, key }) => ({
      version,
      state,
      length: key.length,
      digest: createHash("sha256").update(key).digest("hex"),
    })),
  };
}

async function perform(step: Step): Promise<unknown> {
  if (step.advance !== undefined) return void (await clock.advance(step.advance));
  if (step.health) return source.health?.();
  if (step.run) {
    const [program, ...args] = step.run;
    const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    return {};
  }
  if (step.move) {
    if (step.replace) rmSync(step.move[1], { recursive: true });
    renameSync(...step.move);
    if (step.thenMake !== undefined) mkdirSync(step.thenMake);
    return {};
  }
  if (step.together !== undefined) {
    const grants = await Promise.all(Array.from({ length: step.together }, () => source.lease(step.lease!, never)));
    return { granted: grants.length, distinct: new Set(grants.map((grant) => JSON.stringify(shown(grant)))).size };
  }
  const grant = await source.lease(step.lease!, never);
  if (step.containedIn === undefined) return shown(grant);
  const text = readFileSync(step.containedIn);
  const key = Buffer.from(grant.versions[0]!.key);
  const forms = [key, key.toString("hex"), key.toString("base64"), key.toString("base64url")];
  return { contained: forms.some((form) => text.includes(form)) };
}

await source.start?.();
for (const step of steps) {
  const result = await perform(step).catch((error: KeySourceError) => ({ code: error.code, message: error.message }));
  console.log(JSON.stringify(result ?? {}));
}
await source.close();
await source.close();
console.log(JSON.stringify({ logins }));
