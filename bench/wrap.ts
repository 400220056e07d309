/** CreateKey and DecryptKey in this process, their lease held, against the processor's own speed at AES-256-GCM. */

import { createCipheriv } from "node:crypto";
import { parseBlob } from "../src/edge/cipher/blob.ts";
import { createNodeAdapter } from "../src/edge/cipher/node-adapter.ts";
import { createCipher } from "../src/edge/cipher/sessions.ts";
import type { Opened } from "../src/edge/operations/operations.ts";
import { createOperations } from "../src/edge/operations/pipeline.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "./harness/edge-in-process.ts";
import { opensslGcmPerSecond } from "./harness/openssl.ts";
import { compare, interleave, ratePerCpuSecond } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey and DecryptKey in process against openssl speed at 32 bytes";
export const guards = true;

const MANY_SALTS = 1000;

const KEY = crypto.getRandomValues(new Uint8Array(32));
const NONCE = new Uint8Array(12);
const HEADER = new Uint8Array(85);
const DATA_KEY = new Uint8Array(32);

function bareCalls(): void {
  const cipher = createCipheriv("aes-256-gcm", KEY, NONCE);
  cipher.setAAD(HEADER);
  cipher.update(DATA_KEY);
  cipher.final();
  cipher.getAuthTag();
}

export async function run(context: BenchContext): Promise<Row[]> {
  const leases = heldLeases();
  const edge = createOperations({ access: allowAll, leases, recorder: ignoreAll });
  const create = { tenant: "tenant-a", service: "billing" };
  const make = () => edge.createKey(CALLER, create) as { wrapped: Uint8Array };

  const oneSalt = { wrapped: make().wrapped };
  const manySalts = blobsOfManySalts(MANY_SALTS);
  // A fixed shuffle that visits all of them in no order that a cache of the processor could learn.
  let place = 0;
  const open = (request: { wrapped: Uint8Array }) => {
    const { plaintext } = edge.decryptKey(CALLER, request) as Opened;
    plaintext.fill(0);
  };

  const samples = await interleave(
    {
      openssl: opensslGcmPerSecond,
      calls: () => ratePerCpuSecond(bareCalls, context.sampleMs),
      wrap: () => ratePerCpuSecond(make, context.sampleMs),
      unwrap: () => ratePerCpuSecond(() => open(oneSalt), context.sampleMs),
      unwrapMany: () =>
        ratePerCpuSecond(() => {
          place = (place + 617) % MANY_SALTS;
          open(manySalts[place]!);
        }, context.sampleMs),
    },
    context.rounds,
  );
  const against = (values: number[]) => ({
    ...compare(values, samples.openssl),
    baselineName: "openssl speed",
    unit: "ops/s",
  });
  return [
    row({
      name: "wrap: the same node:crypto calls and nothing else",
      ...against(samples.calls),
      note: "createCipheriv, setAAD, update, final, getAuthTag: a GCM context for each message, which the edge does without (docs/security-model.md)",
    }),
    row({ name: "wrap: CreateKey, lease held", ...against(samples.wrap), goal: { of: "ratio", atLeast: 0.5 } }),
    row({ name: "wrap: DecryptKey, one salt", ...against(samples.unwrap), goal: { of: "ratio", atLeast: 0.5 } }),
    row({
      name: `wrap: DecryptKey, ${MANY_SALTS} salts at random`,
      ...against(samples.unwrapMany),
      goal: { of: "ratio", atLeast: 0.35 },
    }),
  ];

  function blobsOfManySalts(count: number): { wrapped: Uint8Array }[] {
    const cipher = createCipher({ adapter: createNodeAdapter() });
    return Array.from({ length: count }, () => {
      // Each session draws its own salt, as each process of a fleet does.
      const session = leases.begin(cipher);
      const wrapped = session.wrap(new Uint8Array(32), new Uint8Array(0));
      session.wipe();
      parseBlob(wrapped);
      return { wrapped };
    });
  }
}
