const TOO_LONG =
  "Core, broker and a thousand edges share two cores, and the rounds did not end within five minutes. Why they took longer than in earlier runs is not known.";

/** Why a goal is not reached: what the profile said. By the beginning of the row's name, the longest first. */
const REASONS: readonly (readonly [start: string, reason: string])[] = [
  [
    "wrap:",
    "`openssl speed` encrypts 32 bytes in one context that is made ready once, with no nonce, no additional data and no tag. A wrap has all three: five calls of libcrypto, which are two thirds of its time; the rest is randomness, the blob's bytes, and the operation around it. An unwrap reads the blob besides, an encryption context is encoded and authenticated too. With 1,000 salts at random what the keys' contexts hold is no longer in the processor's nearest cache.",
  ],
  [
    "http:",
    "in the profile of the server CreateKey itself is about a sixth of the time, nearly all of it in the cipher, and the bare route has nothing in its place. The rest of the difference is spread over reading the address and the length of the request, checking the body, policy, counts, and writing the answer, none of which stands out.",
  ],
  [
    "mtls:",
    "the runtime's own HTTPS server does not show the caller's certificate to the handler, so the listener is `node:tls` with an HTTP/1.1 reader of the edge's own on its sockets: in the profile most of the difference is `node:tls`, whose streams and events are JavaScript. With a fixed answer and nothing else, `node:tls` takes 25 µs and leaves 710 bytes a request, the runtime's own sockets with TLS (`Bun.listen`) 18 µs and 180 bytes.",
  ],
  [
    "peers:",
    "OpenBao, in memory and with an application's token, takes some 0.3 ms of processor time a request here: a fiftieth of it is 6 µs, and TLS alone takes more. With a fixed answer and nothing else the runtime's own sockets with TLS take 18 µs, `node:tls`, which shows who calls, 25.",
  ],
  [
    "garbage: live",
    'some 220 are the runtime\'s own (66 of an empty program, node:fs 98, its errors, the calls of native libraries); nearly all others are the way of a request, leases, revocation, usage and metrics (docs/architecture.md, "The heap that answers requests"). From one run to the next some ten more or less are alive.',
  ],
  [
    "single:",
    "an absolute figure, of this machine with its neighbours: one connection waits for whatever else runs, and so does the bare server beside it.",
  ],
  ["records: sealMany", "an absolute figure, of this machine with its neighbours."],
  [
    "start: memory",
    "by `/proc/PID/smaps` 42 MiB are pages of the runtime's file, 6 of libcrypto and libc, 5 of this program's compiled code: pages of files, which the kernel can take back. Some 9 are memory of the process itself.",
  ],
  [
    "batch: keys",
    "an absolute figure, of this machine with its neighbours: the ratio above says what the edge adds to the cipher.",
  ],
  [
    "latency: p",
    "the runtime's garbage collection stops the thread that answers, and what was due meanwhile waits. A pause grows with the garbage that was made since the one before, and with the functions that are in the heap (docs/architecture.md, \"The heap that answers requests\"); both are counted by `bun run bench garbage`. The heap of the bare route is all but empty, and its collections take 0.3 ms. The runtime's settings of the heap's size and of concurrent collection do not change it.",
  ],
  [
    "latency: p99 during",
    "what is done beside the requests is paid for by the same thread and the same collector. A lease call takes some 0.17 ms of processor time, of which 0.06 are its key pair and the opening of one key (X25519 by the runtime's library), and leaves 9 kB to the collector (`bun run bench garbage`) where a request leaves 1.1: at 330 renewals a second that is a quarter of what the 10,000 requests leave. A turn of the event loop begins or opens one or two of them.",
  ],
  [
    "isolation:",
    "one thread serves all callers in turns: who asks during a burst of the flood waits for the refused requests before it, some 17 µs each. The p99 of the quiet caller is a few tenths of a millisecond, most of which is the machine's scheduling; edge, flood and measuring client share two cores.",
  ],
  ["start:", "an absolute figure, on a shared machine: the note beside it says what the quickest start took."],
  [
    "memory: 100,000",
    "a lease takes 1.1 kB; its first use another 0.8 kB for the wrapping session, its header and, for the 8,192 keys that are ready, the crypto library's context of AES, 2 kB each.",
  ],
  [
    "cost:",
    "in process a CreateKey takes less than a microsecond, so that 5 % are 40 ns: about one reading of the clock. Every operation is measured, which takes two. Over HTTP the same is less than one part in a hundred.",
  ],
  ["usage: one count", "an absolute figure, of this machine with its neighbours."],
  ["leases:", "an absolute figure, of this machine with its neighbours."],
  [
    "workers:",
    "two workers and the load generator share two cores. In the profile (`perf`) the share of the edge's own code does not grow with the second worker; the kernel's switching between tasks (`finish_task_switch`) grows from 1.6 % to 5.5 %, and with it what each request costs.",
  ],
  [
    "revocation:",
    "Core, broker and a thousand edges share two cores. Each edge checks the Core's signature, some 0.1 ms, which on two cores is 50 ms for a thousand before anything else is done; then the broker's own work for a thousand consumers and their acknowledgements. By all transports together the copies that come by the brokers take the cores from the stream, which alone is within the goal.",
  ],
  ["revocation: nats, 1,000", TOO_LONG],
  ["revocation: amqp, 1,000", TOO_LONG],
  ["core: leases", "an absolute figure, of this machine with its neighbours."],
  [
    "revocation: core",
    "the Core and a thousand edges share two cores. In the profile a write by the Core takes 12 µs, and an edge some 45 µs to read the event, block, wipe, audit and refuse: together 30 ms on two cores. What is beyond is the collection of the heap that 500 edges of one process share, and the compiler's threads.",
  ],
];

export function reasonFor(name: string): string {
  const fitting = REASONS.filter(([start]) => name.startsWith(start)).toSorted(([a], [b]) => b.length - a.length);
  return fitting[0]?.[1] ?? "not yet looked into.";
}
