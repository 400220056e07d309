/**
 * What a reload takes from a configuration that was read anew: its policies. Of the other sections it takes nothing, but says which
 * have changed. Sections are compared by keyed digests, so that the configuration can be read and checked by another process: reading ten
 * thousand policies takes a second, which no request should wait for.
 */
import { fileOfSecret } from "../base/config/file-secret.ts";
import type { PolicyRule } from "./access/policy-rule.ts";
import { policyRules } from "./config/policy-rules.ts";
import type { Configuration } from "./config/schema.ts";

export interface Renewal {
  readonly policies: readonly PolicyRule[];
  /** By section: a digest under the key that was given. */
  readonly digests: Readonly<Record<string, string>>;
}

/** `digestKey`: random, of this process, 32 bytes in hex. */
export async function renewalOf(configuration: Configuration, digestKey: string): Promise<Renewal> {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", Buffer.from(digestKey, "hex"), hmac, false, ["sign"]);
  const digests: Record<string, string> = {};
  for (const [section, value] of Object.entries(configuration)) {
    const text = Buffer.from(JSON.stringify(value, secretAsFile) ?? "");
    digests[section] = Buffer.from(await crypto.subtle.sign(hmac, key, text)).toString("base64url");
  }
  return { policies: policyRules(configuration.policies), digests };
}

/** A secret that follows its file has not changed the section that names the file. */
function secretAsFile(this: object, key: string, value: unknown): unknown {
  return typeof value === "string" ? (fileOfSecret(this, key) ?? value) : value;
}

/** The sections that a reload does not take, and that differ. */
export function changedSections(started: Renewal, renewed: Renewal): string[] {
  const names = new Set([...Object.keys(started.digests), ...Object.keys(renewed.digests)]);
  names.delete("policies");
  return [...names].filter((name) => started.digests[name] !== renewed.digests[name]).sort();
}
