/** Whose requests are trusted and who signs the answers, as the files are now. */
import type { PluginContext } from "crypto-edge/plugin";
import type { Authority } from "./edge-tasks.ts";
import { isFetched } from "./issuer-keys.ts";
import { authoritiesOf, type OrbitalConfiguration, signerOf } from "./settings.ts";
import type { AnswerSigner } from "./signatures.ts";

export interface FollowedTrust {
  readonly issuers: readonly Authority[];
  readonly signer: () => AnswerSigner | undefined;
}

/** @throws (rejects with) what is wrong with the files */
export async function followTrust(configuration: OrbitalConfiguration, context: PluginContext): Promise<FollowedTrust> {
  const issuers = authoritiesOf(configuration, context);
  for (const [index, { issuer, keys, ca }] of configuration.issuers.entries()) {
    const certificates = ca === undefined ? [] : [ca];
    const others = isFetched(keys) ? [] : [keys];
    if (certificates.length + others.length === 0) continue;
    await context.follow({
      role: `Orbital's issuer ${issuer}`,
      certificates,
      others,
      take: () => issuers[index]!.keys.take(),
    });
  }
  const { sign } = configuration;
  let signer: AnswerSigner | undefined;
  if (sign !== undefined) {
    await context.follow({
      role: "Orbital's answers",
      certificates: [],
      others: [sign.key],
      take() {
        signer = signerOf(sign);
      },
    });
  }
  return { issuers, signer: () => signer };
}
