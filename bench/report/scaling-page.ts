/** docs/scaling.md: from one sidecar to a region, its arithmetic done with a saved run's figures. */
import { formatNumber } from "../harness/report.ts";
import type { Row } from "../harness/row.ts";
import type { SavedRun } from "../harness/saved-run.ts";

/** The region that the page reckons with. */
const EDGES = 10_000;
const KEYS_PER_EDGE = 50;
const REQUESTS_PER_EDGE = 1_000;
/** cache.refresh_after and its spread: a renewal comes between half of it and all of it. */
const REFRESH_AFTER_SECONDS = 240;
const MEAN_REFRESH_SECONDS = REFRESH_AFTER_SECONDS * 0.75;
const HEARTBEAT_BYTES = 120;
const GIGABIT = 125_000_000;
/** `okm` and salts: what of a data key stays at the edge is nothing; what an application stores is the blob. */
const BLOB_BYTES = 133;
const USAGE_BATCH_SECONDS = 10;

export function scalingPage({ rows }: SavedRun): string {
  const value = (name: string): number => {
    const row = rows.find((candidate: Row) => candidate.name === name);
    if (row === undefined) throw new Error(`docs/performance.json has no row "${name}": run its part with --save.`);
    return row.value;
  };
  const http = value("http: CreateKey, loopback");
  const batch = value("batch: keys on one core");
  const leasesPerCore = value("core: leases over mutual TLS");
  const leaseBytes =
    ((value("memory: 100,000 leases held, each used") - value("start: memory once ready")) * 2 ** 20) / 100_000;
  const startMiB = value("start: memory once ready");
  const n = formatNumber;

  const renewals = (EDGES * KEYS_PER_EDGE) / MEAN_REFRESH_SECONDS;
  const naive = (EDGES * KEYS_PER_EDGE) / 60;
  const cores = renewals / leasesPerCore;
  const heartbeat = (EDGES * HEARTBEAT_BYTES) / GIGABIT;

  return `# Scaling

From one sidecar to a region of ${n(EDGES)} edges: what grows with what, what limits first, what to run. Made by
\`bun run bench --page\` with the figures of the run in [performance.md](performance.md), so of that machine; put your own
in.

## What grows with what

| grows with | what | what it takes |
| --- | --- | --- |
| requests | processor time of the edge | a core for ${n(http)} CreateKey a second over HTTP, or ${n(batch)} keys a second in batches as bytes |
| service keys in use at an edge | its memory; lease calls to the Core | ${n(leaseBytes)} bytes each, over ${n(startMiB)} MiB at start; one call in ${MEAN_REFRESH_SECONDS} s each |
| edges | open event streams at the Core or the broker | one stream each, a heartbeat a second |
| data keys in flight | nothing at the edge | the application stores ${BLOB_BYTES} bytes with each record: ${n((BLOB_BYTES * 1e6) / 2 ** 20)} MiB for a million |
| workers | leases, streams and memory, each once a worker | \`workers: 4\` is four edges to the Core |

An edge writes nothing and asks nobody on a request, so requests never reach the Core: its load depends on keys and edges alone.

## One sidecar

${n(REQUESTS_PER_EDGE)} requests a second take ${n(REQUESTS_PER_EDGE)} / ${n(http)} = ${n((REQUESTS_PER_EDGE / http) * 100)} % of a core. With ${KEYS_PER_EDGE}
service keys its memory is ${n(startMiB)} MiB + ${KEYS_PER_EDGE} × ${n(leaseBytes)} bytes = ${n(startMiB + (KEYS_PER_EDGE * leaseBytes) / 2 ** 20)} MiB. The Core sees
${KEYS_PER_EDGE} / ${MEAN_REFRESH_SECONDS} s = ${n(KEYS_PER_EDGE / MEAN_REFRESH_SECONDS)} lease calls a second. Run one small Core, or \`crypto-edge core serve\` on the same host.

## A node with many cores

\`workers: auto\` serves one port with a process for each core ([configuration](configuration.md)). One answer of \`/metrics\`
and \`/v1/status\` tells of all of them. Each holds its own leases and its own event stream: the Core sees as many edges as
there are workers. A Unix socket can't be shared; the first worker serves it, so give a busy socket an edge of its own.

## A region of ${n(EDGES)} edges, ${KEYS_PER_EDGE} keys each

**Leases.** A renewal comes at random in the second half of \`cache.refresh_after\` (${REFRESH_AFTER_SECONDS} s), on average after ${MEAN_REFRESH_SECONDS} s:
${n(EDGES)} × ${KEYS_PER_EDGE} / ${MEAN_REFRESH_SECONDS} = ${n(renewals)} calls a second, spread evenly. The reference Core grants ${n(leasesPerCore)} a second on one core
(\`bun run bench core\`): ${n(renewals)} / ${n(leasesPerCore)} = ${n(cores)} cores. With \`refresh_after: 45s\`, for a shorter \`ttl\`, it would be
about ${n(naive / leasesPerCore)}. A longer \`ttl\` is the lever: lease calls fall in proportion, and so does nothing else, since a
revocation is pushed.

**All at once.** The edges start together, or their Core comes back after an outage. Jitter, backoff and the bound on calls in
flight (32 an edge) keep the Core at what it can answer; [resilience.md](resilience.md#a-fleet) has the simulated curve for
this very fleet, beside one of caches that drop all their keys at a tick:

![Requests per second at the Core over time](fleet.svg)

    bun run simulate fleet

**Revocations.** A heartbeat of about ${HEARTBEAT_BYTES} bytes a second to each edge is ${n(EDGES)} × ${HEARTBEAT_BYTES} bytes = ${n((EDGES * HEARTBEAT_BYTES) / 1e6)} MB a second, ${n(heartbeat * 100)} % of
a gigabit link, and as many open connections. An event goes out as many times: \`bun run bench revocation\` measures the time
to the first refusal. Past some thousand edges let a message broker that runs already carry the events (NATS or RabbitMQ,
[revocation.md](revocation.md)): the Core then sends each event once, signed, and the broker fans out.

**Usage.** A batch from each edge every ${USAGE_BATCH_SECONDS} s is ${n(EDGES / USAGE_BATCH_SECONDS)} calls a second. Set \`usage.send_after\` longer when the Core is short of
processor time; counts are merged, not lost.

## What limits first

1. At an edge: processor time, at ${n(http)} requests a second and core. Then batches; then \`workers\`.
2. At the Core: lease calls, at ${n(leasesPerCore)} a second and core, so at ${n((leasesPerCore * MEAN_REFRESH_SECONDS) / KEYS_PER_EDGE)} edges of ${KEYS_PER_EDGE} keys a core.
3. Then its event streams: connections, and the fan-out of an event.

## What to run

| edges | Core | revocations |
| --- | --- | --- |
| up to some hundred | one over SQLite, with a copy of its database after each change ([core.md](core.md#backup-and-restore)) | its own stream |
| up to some thousand, or when the Core must survive a machine | ${Math.max(2, Math.ceil(cores / 3))} over one PostgreSQL ([core.md](core.md#high-availability)), named as a list at the edges or behind one address | their own streams, or a broker |
| ${n(EDGES)} | ${Math.max(3, Math.ceil(cores * 2))} cores' worth over one PostgreSQL (twice what the sum above asks, for outages) | a broker cluster, and the Cores' streams as the second transport |

Each lease is one statement at PostgreSQL: ${n(renewals)} a second for this region, which one server answers from memory. Each Core asks it once a second
besides. A change (rotate, revoke) takes the one lock that orders the log: some hundred a second, whichever Core makes them.
`;
}
