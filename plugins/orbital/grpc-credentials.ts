/** What the gRPC server shows and whom it trusts, as the files are now. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type PluginContext, SectionError } from "crypto-edge/plugin";
import type { GrpcSettings } from "./settings.ts";

export class GrpcCredentials {
  readonly #settings: GrpcSettings;
  #changed = new AbortController();
  certificate: Buffer = Buffer.alloc(0);
  privateKey: Buffer = Buffer.alloc(0);
  clientAuthorities: Buffer = Buffer.alloc(0);

  constructor(settings: GrpcSettings) {
    this.#settings = settings;
  }

  /** Aborts when others have taken the place of these. */
  get changed(): AbortSignal {
    return this.#changed.signal;
  }

  /** @throws {SectionError} where they do not fit together */
  take(): void {
    const { cert, key, client_ca } = this.#settings;
    const [certificate, privateKey, clientAuthorities] = [cert, key, client_ca].map((file) => readFileSync(file)) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey))) {
      throw new SectionError(["grpc", "key"], `${key} is not the key of the certificate in ${cert}`);
    }
    Object.assign(this, { certificate, privateKey, clientAuthorities });
    this.#changed.abort();
    this.#changed = new AbortController();
  }
}

/** Undefined where nobody calls over gRPC. @throws (rejects with) what is wrong with the files */
export async function followGrpc(
  settings: GrpcSettings | undefined,
  context: PluginContext,
): Promise<GrpcCredentials | undefined> {
  if (settings === undefined) return undefined;
  const credentials = new GrpcCredentials(settings);
  await context.follow({
    role: "Orbital's calls",
    certificates: [settings.cert, settings.client_ca],
    others: [settings.key],
    take: () => credentials.take(),
  });
  return credentials;
}
