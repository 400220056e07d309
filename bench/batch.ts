/** create-batch of 1,000 as bytes over HTTP, against the same number of wraps in process. */
import { createOperations } from "../src/edge/operations/pipeline.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "./harness/edge-in-process.ts";
import { generateLoad } from "./harness/generator.ts";
import { cpuSecondsOf, startServer } from "./harness/processes.ts";
import { compare, interleave, ratePerCpuSecond } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "create-batch of 1,000 keys as bytes, against wraps in process";
export const guards = true;

const BATCH = 1000;
const OCTET_STREAM = "application/octet-stream";

export async function run(context: BenchContext): Promise<Row[]> {
  const operations = createOperations({ access: allowAll, leases: heldLeases(), recorder: ignoreAll });
  const create = { tenant: "tenant-a", service: "billing" };
  const server = await startServer("edge.ts");
  context.cleanUp(() => server.stop());
  const port = server.ready.port as number;
  const request = createBatchRequest("tenant-a", "billing", BATCH);
  await checkAnswer(port, request);

  const samples = await interleave(
    {
      batch: async () => {
        const before = cpuSecondsOf(server.pid);
        const load = await generateLoad({
          target: { port },
          connections: 4,
          seconds: Math.max(1, context.sampleMs / 1000),
          warmUpSeconds: 0,
          requests: [
            {
              method: "POST",
              path: "/v1/keys/create-batch",
              contentType: OCTET_STREAM,
              bodyBase64: request.toString("base64"),
            },
          ],
        });
        if (load.errors > 0) throw new Error(`${load.errors} batches failed: ${load.firstError}`);
        return (load.requests * BATCH) / (cpuSecondsOf(server.pid) - before);
      },
      wrap: () => ratePerCpuSecond(() => operations.createKey(CALLER, create), context.sampleMs),
    },
    context.rounds,
  );
  const found = compare(samples.batch, samples.wrap);
  const unit = "keys per second of processor time";
  return [
    row({
      name: `batch: create-batch of ${BATCH}, binary, over HTTP`,
      ...found,
      baselineName: "CreateKey in process",
      unit,
      goal: { of: "ratio", atLeast: 0.8 },
    }),
    row({
      name: "batch: keys on one core",
      value: found.value,
      unit,
      goal: { of: "value", atLeast: 2_000_000 },
      note: "absolute: it depends on the machine and on its neighbours",
    }),
  ];
}

/** docs/api.md, "Batches as bytes": count 4, length 1, plaintext 1, tenant, service, context. */
function createBatchRequest(tenant: string, service: string, count: number): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(count);
  head[4] = 32;
  return Buffer.concat([
    head,
    Buffer.from([tenant.length]),
    Buffer.from(tenant),
    Buffer.from([service.length]),
    Buffer.from(service),
    Buffer.alloc(2),
  ]);
}

async function checkAnswer(port: number, request: Buffer): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/keys/create-batch`, {
    method: "POST",
    headers: { "content-type": OCTET_STREAM },
    body: new Uint8Array(request),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (answer.status !== 201 || bytes.readUInt32BE(0) !== BATCH) {
    throw new Error(`The edge answered ${answer.status}: ${bytes.subarray(0, 300)}`);
  }
}
