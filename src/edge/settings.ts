/** From the configuration's words to each room's settings: the only place that knows both. */
import { messageOf } from "../base/errors.ts";
import { type Binding, bind } from "../base/module.ts";
import { ACCESS_RULES } from "./access/module.ts";
import { CACHE_SETTINGS } from "./cache/module.ts";
import { CIPHER_SETTINGS } from "./cipher/module.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import { policyRules } from "./config/policy-rules.ts";
import { KEY_MEMORY_SETTINGS } from "./key-memory/module.ts";
import { REVOCATION_SETTINGS } from "./revocation/module.ts";
import { USAGE_SETTINGS } from "./usage/module.ts";

export function settingsOf({ configuration, errorAt }: LoadedConfiguration): readonly Binding[] {
  const { cache, cipher, key_memory, revocation, policies } = configuration;
  return [
    // Each lease has two versions, as a rule.
    bind(KEY_MEMORY_SETTINGS, { choice: key_memory.kind, expectedKeys: cache.max_leases * 2 }),
    bind(CACHE_SETTINGS, { ttlMs: cache.ttl, refreshAfterMs: cache.refresh_after, maxLeases: cache.max_leases }),
    bind(CIPHER_SETTINGS, {
      use: cipher.use,
      requireFips: cipher.require_fips,
      errorFor: (message) => errorAt(["cipher", "use"], message),
    }),
    bind(REVOCATION_SETTINGS, { maxSilenceMs: revocation.max_silence, onSilence: revocation.on_silence }),
    bind(ACCESS_RULES, policyRules(policies)),
    bind(USAGE_SETTINGS, {
      configuration,
      auditFileError: (error) => errorAt(["audit", "file"], `the audit file can't be opened: ${messageOf(error)}`),
    }),
  ];
}
