/**
 * CreateKey and DecryptKey by one adapter, in a process of its own as an edge is: `wrap-rates.ts ADAPTER SUBJECT MILLISECONDS`
 * prints the operations per second of processor time.
 */
import type { Cipher } from "../../src/edge/cipher/cipher.ts";
import type { Opened } from "../../src/edge/operations/operations.ts";
import { createOperations } from "../../src/edge/operations/pipeline.ts";
import { openBenchCipher } from "../harness/ciphers.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "../harness/edge-in-process.ts";
import { ratePerCpuSecond } from "../harness/rounds.ts";
import type { Subject } from "../wrap.ts";

const MANY_SALTS = 1000;
const CONTEXT = { purpose: "invoice", customer: "4711" };
const WARM_UP_MS = 300;

const [adapter = "", subject = "", milliseconds = ""] = process.argv.slice(2);
const run = subjectsOf(await openBenchCipher(adapter))[subject as Subject];
ratePerCpuSecond(run, WARM_UP_MS);
console.log(ratePerCpuSecond(run, Number(milliseconds)));

function subjectsOf(cipher: Cipher): Record<Subject, () => void> {
  const leases = heldLeases(undefined, cipher);
  const edge = createOperations({ access: allowAll, leases, recorder: ignoreAll });
  const create = { tenant: "tenant-a", service: "billing" };
  const createInContext = { ...create, context: CONTEXT };
  const blobOf = (request: typeof create) => (edge.createKey(CALLER, request) as { wrapped: Uint8Array }).wrapped;
  const open = (request: { wrapped: Uint8Array }): void => {
    (edge.decryptKey(CALLER, request) as Opened).plaintext.fill(0);
  };
  const one = { wrapped: blobOf(create) };
  const inContext = { wrapped: blobOf(createInContext), context: CONTEXT };
  const many = Array.from({ length: MANY_SALTS }, () => {
    // Each session draws its own salt, as each process of a fleet does.
    const session = leases.begin(cipher);
    const wrapped = session.createKey(32, new Uint8Array(0));
    session.wipe();
    return { wrapped };
  });
  // A fixed shuffle that visits all of them in no order that a cache of the processor could learn.
  let place = 0;
  return {
    create: () => void edge.createKey(CALLER, create),
    createInContext: () => void edge.createKey(CALLER, createInContext),
    decrypt: () => open(one),
    decryptInContext: () => open(inContext),
    decryptMany() {
      place = (place + 617) % MANY_SALTS;
      open(many[place]!);
    },
  };
}
