/** Service keys protected by an HSM, over PKCS#11. See README.md for the two modes and how a token is prepared. */
import { readFileSync } from "node:fs";
import {
  contribution,
  definePlugin,
  FinalFailure,
  type Health,
  type KeySource,
  KeySourceError,
  type LeasableState,
  type LeasedServiceKey,
  type LeaseGrant,
  LeaseTimes,
  leasableVersions,
  leaseTimesOf,
  messageOf,
  Path,
  type PluginContext,
  Section,
  SectionError,
  type Static,
  Type,
  wipe,
} from "crypto-edge/plugin";
import { objectVersions, type StoredVersion, WrappedKeyStore } from "./service-keys.ts";
import { PinError, Token, TokenError, type TokenSession } from "./token.ts";

const Pkcs11Section = Section(
  {
    module: Path({ description: "The HSM's PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so." }),
    token: Type.String({ minLength: 1, description: "The token's label." }),
    pin_file: Type.Optional(Path({ description: "A file that holds the user PIN." })),
    pin_env: Type.Optional(
      Type.String({ minLength: 1, description: "An environment variable that holds the user PIN." }),
    ),
    wrapped_keys: Type.Optional(
      Section(
        {
          file: Path({ description: "The file of wrapped service keys, made by keys.ts." }),
          wrapping_key: Type.String({
            minLength: 1,
            description: "The label of the key on the token that opens them.",
          }),
        },
        {
          description: "Service keys are stored wrapped, outside the token. Without this section they are its objects.",
        },
      ),
    ),
    sessions: Type.Integer({ default: 4, minimum: 1, maximum: 64, description: "Sessions kept open." }),
    ...LeaseTimes,
  },
  { description: "Service keys protected by an HSM, over PKCS#11." },
);

type Pkcs11Configuration = Static<typeof Pkcs11Section>;

export function createPkcs11Source(configuration: Pkcs11Configuration, context: PluginContext): KeySource {
  const { wrapped_keys: wrappedKeys } = configuration;
  const times = leaseTimesOf(configuration);
  const store = wrappedKeys === undefined ? undefined : new WrappedKeyStore(wrappedKeys.file);
  const token = new Token({
    module: configuration.module,
    label: configuration.token,
    readPin: pinReader(configuration),
    sessions: configuration.sessions,
    clock: context.clock,
    attempt: (name, run) => attemptLogin(context, name, run),
    onChange: (message, isThere) => context.log[isThere ? "info" : "warn"]({ token: configuration.token }, message),
  });

  return {
    name: "pkcs11",

    async start() {
      // A token that is away, or that refused its PIN, does not stop the start: a service manager would try again and again.
      await token.use(() => {}).catch((error: unknown) => context.log.error({}, messageOf(error)));
    },

    health(): Health {
      const { trouble } = token;
      return trouble === undefined ? { ok: true } : { ok: false, detail: trouble };
    },

    async lease({ tenant, service, version }, signal): Promise<LeaseGrant> {
      if (signal.aborted) throw new KeySourceError("unavailable", "The call was given up.");
      const opened = token.use(async (session) => {
        const all =
          store?.versions({ tenant, service }, wrappedKeys!.wrapping_key) ??
          objectVersions(session, { tenant, service });
        return openAll(session, leasableVersions(all, version), signal);
      });
      try {
        const versions = await untilAborted(opened, signal);
        return { tenant, service, ...times, log: undefined, revocationSeq: 0, versions };
      } catch (error) {
        if (error instanceof KeySourceError) throw error;
        throw new KeySourceError("unavailable", `The HSM gives no key: ${messageOf(error)}.`, {
          ...(error instanceof TokenError ? { retryAfterMs: 1_000 } : {}),
          cause: error,
        });
      }
    },

    async close() {
      token.close();
    },
  };
}

/** In its turn among the edge's processes. What has refused the PIN once is not asked again by any of them. */
async function attemptLogin<Result>(
  context: PluginContext,
  name: string,
  run: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await context.attempt(name, async () => {
      try {
        return await run();
      } catch (error) {
        throw error instanceof PinError ? new FinalFailure(error.message, { cause: error }) : error;
      }
    });
  } catch (error) {
    throw error instanceof FinalFailure ? new PinError(error.message, { cause: error }) : error;
  }
}

async function openAll(
  session: TokenSession,
  versions: readonly (StoredVersion & { state: LeasableState })[],
  signal: AbortSignal,
): Promise<LeasedServiceKey[]> {
  const opened: LeasedServiceKey[] = [];
  try {
    for (const { version, state, open } of versions) {
      opened.push({ version, state, key: await open(session) });
      if (signal.aborted) throw new KeySourceError("unavailable", "The call was given up.");
    }
    return opened;
  } catch (error) {
    for (const { key } of opened) wipe(key);
    throw error;
  }
}

/** The HSM can't be interrupted: the caller goes on without it, and what comes late is wiped. */
function untilAborted(opened: Promise<LeasedServiceKey[]>, signal: AbortSignal): Promise<LeasedServiceKey[]> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(new KeySourceError("unavailable", "The call was given up."));
    signal.addEventListener("abort", giveUp, { once: true });
    opened
      .then((versions) => {
        if (signal.aborted) for (const { key } of versions) wipe(key);
        resolve(versions);
      }, reject)
      .finally(() => signal.removeEventListener("abort", giveUp));
  });
}

function pinReader({ pin_file: file, pin_env: variable }: Pkcs11Configuration): () => string {
  if ((file === undefined) === (variable === undefined)) {
    throw new SectionError([], 'give the PIN by one of "pin_file" and "pin_env"');
  }
  if (file !== undefined) {
    return () => {
      try {
        return readFileSync(file, "utf8").replace(/\r?\n$/, "");
      } catch (error) {
        throw new TokenError(`the PIN's file can't be read: ${messageOf(error)}`, { cause: error });
      }
    };
  }
  return () => {
    const pin = process.env[variable!];
    if (pin === undefined || pin === "")
      throw new TokenError(`the environment variable ${variable} with the PIN is not set`);
    return pin;
  };
}

export default definePlugin({
  name: "pkcs11",
  apiVersion: 1,
  keySources: {
    pkcs11: contribution({ configuration: Pkcs11Section, create: createPkcs11Source }),
  },
});
