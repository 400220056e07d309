// crypto-edge/records on Node, as the package has them: a value of 100 bytes with a context sealed under a reused key, opened with a warm
// cache, and 100,000 sealed under a data key each. Prints { seal, open } in operations per second of processor time, and { many, manyReused } in
// seconds by the clock and of processor time. Arguments: the bundled records and client, the edge's address, milliseconds for each rate.
const [bundle, url, forMs] = process.argv.slice(2);
const { createClient, createRecords } = await import(bundle);

const MANY = 100_000;
const edge = createClient({ url });
const records = createRecords(edge, { tenant: "tenant-a", service: "billing" });
const value = new Uint8Array(100).fill(7);
const context = { tenant: "tenant-a", column: "iban", id: "4711" };

async function rate(operation) {
  for (let index = 0; index < 5_000; index++) await operation();
  const startedCpu = process.cpuUsage();
  const started = performance.now();
  let calls = 0;
  do {
    for (let index = 0; index < 256; index++) await operation();
    calls += 256;
  } while (performance.now() - started < Number(forMs));
  const { user, system } = process.cpuUsage(startedCpu);
  return calls / ((user + system) / 1e6);
}

async function seconds(work) {
  const startedCpu = process.cpuUsage();
  const started = performance.now();
  await work();
  const { user, system } = process.cpuUsage(startedCpu);
  return { clock: (performance.now() - started) / 1000, processor: (user + system) / 1e6 };
}

const sealed = await records.seal(value, context);
const items = Array.from({ length: MANY }, () => ({ value, context }));
const found = {
  seal: await rate(() => records.seal(value, context)),
  open: await rate(() => records.open(sealed, context)),
  many: await seconds(() => records.sealMany(items)),
  manyReused: await seconds(() => records.sealMany(items, { keys: "reused" })),
};
console.log(JSON.stringify(found));
