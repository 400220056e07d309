/** Service keys wrapped by the Transit engine of OpenBao or HashiCorp Vault, and kept in its KV store. See README.md. */
import {
  contribution,
  Duration,
  definePlugin,
  type KeySource,
  KeySourceError,
  type LeasableState,
  type LeasedServiceKey,
  type LeaseGrant,
  type LeaseRequest,
  LeaseTimes,
  leasableVersions,
  leaseTimesOf,
  openVersions,
  Path,
  type PluginContext,
  Secret,
  Section,
  SectionError,
  STORED_STATES,
  type Static,
  type StoredState,
  Type,
} from "crypto-edge/plugin";
import { errorsOf, jsonOf, messageOf, plaintextOf, Server, ServerError } from "./server.ts";
import { type Login, NotAllowed, Session } from "./session.ts";

const Mount = (mount: string, description: string) =>
  Type.String({ default: mount, pattern: "^[A-Za-z0-9._/-]+$", expected: "a mount's path", description });

const OpenBaoSection = Section(
  {
    address: Type.String({
      pattern: "^(https://|http://(127\\.0\\.0\\.1|localhost|\\[::1\\])[:/])",
      expected: "an https:// URL (plain http:// on loopback only)",
      description: "The server.",
    }),
    ca: Type.Optional(Path({ description: "CA certificates (PEM) to trust instead of the system's." })),
    namespace: Type.Optional(Type.String({ description: "The namespace of the mounts." })),
    token: Type.Optional(Secret({ description: "A token, or file: and the path of one." })),
    approle: Type.Optional(
      Section(
        {
          role_id: Type.String({ description: "The role's id." }),
          secret_id: Secret({ description: "Its secret id." }),
          mount: Mount("approle", "Where the auth method is."),
        },
        { description: "Logs in with AppRole." },
      ),
    ),
    kubernetes: Type.Optional(
      Section(
        {
          role: Type.String({ description: "The role." }),
          jwt_file: Path({
            default: "/var/run/secrets/kubernetes.io/serviceaccount/token",
            description: "The service account's token; read at each login.",
          }),
          mount: Mount("kubernetes", "Where the auth method is."),
        },
        { description: "Logs in with a Kubernetes service account." },
      ),
    ),
    transit: Section(
      {
        mount: Mount("transit", "Where the Transit engine is."),
        key: Type.String({ description: "The key, of type aes256-gcm96, that service keys are wrapped under." }),
      },
      { description: "What opens service keys." },
    ),
    kv: Section(
      {
        mount: Mount("secret", "Where the KV engine (version 2) is."),
        prefix: Mount("crypto-edge", "The folder of the service keys."),
      },
      { default: {}, description: "Where wrapped service keys are." },
    ),
    timeout: Duration({ default: "3s", minimumMs: 10, description: "How long one call to the server may take." }),
    ...LeaseTimes,
  },
  { description: "Service keys wrapped by OpenBao or HashiCorp Vault." },
);

type OpenBaoConfiguration = Static<typeof OpenBaoSection>;

const KEY_BYTES = 32;

/** A version as the KV store has it. */
interface WrappedVersion {
  readonly version: number;
  readonly state: StoredState;
  /** Transit's ciphertext. */
  readonly wrapped: string;
}

export function createOpenBaoSource(configuration: OpenBaoConfiguration, { clock, log }: PluginContext): KeySource {
  const { transit, kv } = configuration;
  const times = leaseTimesOf(configuration);
  const { address, ca, namespace, timeout: timeoutMs } = configuration;
  const session = new Session(new Server({ address, ca, namespace, timeoutMs }), loginOf(configuration), clock, log);
  let closed = false;
  let lastFailure: string | undefined;

  async function stored({ tenant, service }: LeaseRequest, signal: AbortSignal): Promise<WrappedVersion[]> {
    const path = `${kv.mount}/data/${kv.prefix}/${encodeURIComponent(tenant)}/${encodeURIComponent(service)}`;
    const answer = await session.call("GET", path, undefined, signal);
    const json = jsonOf(answer);
    if (answer.status === 404) {
      // A missing mount is a 404 with a reason; a secret that was deleted is one with its metadata.
      const { errors, data } = json as { errors?: unknown[]; data?: unknown };
      if (data !== undefined) throw new KeySourceError("key_revoked", "The service key was deleted from the KV store.");
      if (errors?.length === 0) throw new KeySourceError("key_not_found", "The KV store has no such service key.");
    }
    if (answer.status !== 200) throw new ServerError(`the KV store answers ${errorsOf(answer)}`, answer);
    const { versions } = ((json.data as Record<string, unknown> | undefined)?.data ?? {}) as { versions?: unknown };
    if (!Array.isArray(versions) || !versions.every(isWrappedVersion)) {
      throw new ServerError(`${path} holds no list of wrapped versions. Write it with keys.ts.`);
    }
    return versions;
  }

  async function open(
    { tenant, service }: LeaseRequest,
    { version, state, wrapped }: WrappedVersion & { state: LeasableState },
    signal: AbortSignal,
  ): Promise<LeasedServiceKey> {
    const body = { ciphertext: wrapped, associated_data: associatedData(tenant, service, version) };
    const answer = await session.call(
      "POST",
      `${transit.mount}/decrypt/${encodeURIComponent(transit.key)}`,
      body,
      signal,
    );
    try {
      if (answer.status !== 200) throw new ServerError(`Transit answers ${errorsOf(answer)}`, answer);
      const key = plaintextOf(answer.body, KEY_BYTES);
      if (key === undefined) throw new ServerError(`Transit opened something that is not ${KEY_BYTES} bytes`);
      return { version, state, key };
    } finally {
      answer.body.fill(0);
    }
  }

  return {
    name: "openbao",

    async start() {
      await session
        .call("GET", "auth/token/lookup-self", undefined, AbortSignal.timeout(timeoutMs))
        .catch((error: unknown) => {
          log.warn({ reason: messageOf(error) }, "the server does not let the edge in yet");
        });
    },

    health() {
      const detail = session.lastFailure ?? lastFailure;
      return detail === undefined ? { ok: true } : { ok: false, detail };
    },

    async lease(request, signal): Promise<LeaseGrant> {
      if (closed || signal.aborted)
        throw new KeySourceError("unavailable", "The source was closed, or the call given up.");
      try {
        const versions = await openVersions(
          leasableVersions(await stored(request, signal), request.version),
          (version) => open(request, version, signal),
          () => signal.aborted || closed,
        );
        lastFailure = undefined;
        const { tenant, service } = request;
        return { tenant, service, ...times, log: undefined, revocationSeq: 0, versions };
      } catch (error) {
        if (error instanceof KeySourceError) throw error;
        if (error instanceof NotAllowed) throw new KeySourceError("edge_not_allowed", error.message, { cause: error });
        lastFailure = messageOf(error);
        const retryAfterMs = error instanceof ServerError ? error.retryAfterMs : undefined;
        throw new KeySourceError("unavailable", `OpenBao gives no key: ${messageOf(error)}`, {
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
          cause: error,
        });
      }
    },

    async close() {
      closed = true;
      session.close();
    },
  };
}

function loginOf(configuration: OpenBaoConfiguration): Login {
  const { token, approle, kubernetes } = configuration;
  if ([token, approle, kubernetes].filter((login) => login !== undefined).length !== 1) {
    throw new SectionError([], 'give one of "token", "approle" and "kubernetes"');
  }
  // Asked of the section at each use: a secret of a file follows it.
  if (token !== undefined) return { kind: "token", token: () => configuration.token!.trim() };
  if (approle !== undefined) {
    const { mount, role_id: roleId } = approle;
    return { kind: "approle", mount, roleId, secretId: () => approle.secret_id };
  }
  const { mount, role, jwt_file: jwtFile } = kubernetes!;
  return { kind: "kubernetes", mount, role, jwtFile };
}

/** Binds a wrapped key to its name: moved to another one, it does not open. */
export function associatedData(tenant: string, service: string, version: number): string {
  return Buffer.from(`crypto-edge service key\n${tenant}/${service}/${version}`).toString("base64");
}

function isWrappedVersion(value: unknown): value is WrappedVersion {
  const { version, state, wrapped } = (value ?? {}) as Partial<WrappedVersion>;
  return (
    Number.isInteger(version) &&
    Number(version) >= 1 &&
    STORED_STATES.includes(state as StoredState) &&
    typeof wrapped === "string"
  );
}

export default definePlugin({
  name: "openbao",
  apiVersion: 1,
  keySources: {
    openbao: contribution({
      configuration: OpenBaoSection,
      async create(configuration, context) {
        const { address, ca } = configuration;
        if (ca !== undefined) {
          // Each connection reads it anew: there is nothing to take.
          await context.follow({ role: `the server ${new URL(address).host}`, certificates: [ca], take() {} });
        }
        return createOpenBaoSource(configuration, context);
      },
    }),
  },
});
