/** Keys from the configuration: for tests and demonstrations. Whoever reads the configuration has the keys. */
import {
  contribution,
  definePlugin,
  type KeySource,
  KeySourceError,
  type LeaseGrant,
  leasableVersions,
  Name,
  Section,
  SectionError,
  type Static,
  Type,
  wipe,
} from "crypto-edge/plugin";

const StaticSection = Section(
  {
    keys: Type.Array(
      Section({
        tenant: Name({ description: "The tenant." }),
        service: Name({ default: "default", description: "The service." }),
        version: Type.Integer({ minimum: 1, maximum: 4_294_967_295, description: "Counts from 1." }),
        state: Type.Union(
          [Type.Literal("active"), Type.Literal("deprecated"), Type.Literal("compromised"), Type.Literal("destroyed")],
          {
            default: "active",
            description: "`active` wraps and unwraps; `deprecated` only unwraps; others are refused.",
          },
        ),
        key: Type.String({
          pattern: "^[0-9a-fA-F]{64}$",
          expected: "64 hex digits (32 bytes)",
          description: "The service key.",
        }),
      }),
      { minItems: 1, description: "Every version of every service key." },
    ),
  },
  { description: "Service keys in the configuration itself, for tests and demonstrations." },
);

type StaticConfiguration = Static<typeof StaticSection>;

/** The longest lease there is: `cache.ttl` shortens it. */
const TTL_MS = 60 * 60_000;

interface StaticKey {
  readonly version: number;
  readonly state: StaticConfiguration["keys"][number]["state"];
  readonly key: Uint8Array;
}

export function createStaticSource(configuration: StaticConfiguration): KeySource {
  const services = readKeys(configuration);
  let closed = false;

  return {
    name: "static",

    async lease({ tenant, service, version }, signal): Promise<LeaseGrant> {
      if (closed || signal.aborted)
        throw new KeySourceError("unavailable", "The static source was closed, or the call given up.");
      const leasable = leasableVersions(services.get(`${tenant}/${service}`) ?? [], version);
      return {
        tenant,
        service,
        ttlMs: TTL_MS,
        refreshAfterMs: TTL_MS * 0.8,
        log: undefined,
        revocationSeq: 0,
        versions: leasable.map(({ version, state, key }) => ({
          version,
          state,
          key: Uint8Array.from(key),
        })),
      };
    },

    async close() {
      closed = true;
      for (const versions of services.values()) for (const { key } of versions) wipe(key);
      services.clear();
    },
  };
}

function readKeys(configuration: StaticConfiguration): Map<string, StaticKey[]> {
  const services = new Map<string, StaticKey[]>();
  configuration.keys.forEach(({ tenant, service, version, state, key }, index) => {
    const name = `${tenant}/${service}`;
    const versions = services.get(name) ?? [];
    if (versions.some((other) => other.version === version)) {
      throw new SectionError(
        ["keys", index, "version"],
        `${name} has version ${version} twice: number them differently`,
      );
    }
    if (state === "active" && versions.some((other) => other.state === "active")) {
      throw new SectionError(["keys", index, "state"], `${name} has two active versions: leave one active`);
    }
    versions.push({ version, state, key: Uint8Array.from(Buffer.from(key, "hex")) });
    services.set(name, versions);
  });
  return services;
}

export default definePlugin({
  name: "static",
  apiVersion: 1,
  keySources: {
    static: contribution({ configuration: StaticSection, create: createStaticSource }),
  },
});
