/** Why a goal is not reached: what the profile said. By the beginning of the row's name, the longest first. */
const REASONS: readonly (readonly [start: string, reason: string])[] = [
  [
    "wrap:",
    "`openssl speed` encrypts in one context that is made ready once, with no nonce, no additional data and no tag. `node:crypto` makes a new context for each message: in the profile of a wrap, half of the time is that object's making (`Cipher`), a quarter its `update` and `final`, each with a buffer of its own; a bare `createCipheriv`, `setAAD`, `update`, `final`, `getAuthTag` takes nine tenths of the whole call. What is left to gain is in a native AEAD with a context that is used again; it would have to be built for every target.",
  ],
  [
    "http:",
    "the bare route does nothing; each CreateKey adds the cipher above, about a fifth of the time on the server, and the policy, the checked body, the answer's text and its headers, of which the profile shows none above two hundredths. A bare route that runs the same five `node:crypto` calls is most of the way down to the edge's figure.",
  ],
  [
    "mtls:",
    "the runtime's own HTTPS server does not show the caller's certificate to the handler, so the listener is `node:tls` with `node:http` on its sockets, and that server is written in JavaScript: in the profile a quarter of the time is its writes, the rest its parser, streams and events; the edge's own code is under a tenth. When the runtime shows peer certificates, the fast listener takes this one's place.",
  ],
  [
    "batch: keys",
    "an absolute figure, of this machine with its neighbours: the ratio above says what the edge adds to the cipher.",
  ],
  [
    "latency: p",
    "an absolute figure on a shared machine with two cores: the generator, the Core and other programs take processor time from the edge, and what waits for a core is counted. Run it alone to judge the edge.",
  ],
  [
    "latency: p99 during",
    "a p99 over windows of some seconds on a machine with two cores, one of which runs both the generator and the Core: what the Core does in the disturbance takes time from the generator, and is counted as the edge's.",
  ],
  ["start:", "an absolute figure, on a shared machine: the note beside it says what the quickest start took."],
  [
    "memory: 100,000",
    "a lease costs about 3.5 KB: its session's header and derived keys are typed arrays of their own, of some 100 to 200 bytes each besides their content. Packing the sessions' bytes into shared arrays is what would halve it.",
  ],
  [
    "cost:",
    "in process a CreateKey takes little more than a microsecond, and two readings of the clock for the latency histogram alone are a tenth of it. Over HTTP the same is about one part in a hundred.",
  ],
  ["workers:", "the load generator needs a core of its own, and the machine has two."],
];

export function reasonFor(name: string): string {
  const fitting = REASONS.filter(([start]) => name.startsWith(start)).toSorted(([a], [b]) => b.length - a.length);
  return fitting[0]?.[1] ?? "not yet looked into.";
}
