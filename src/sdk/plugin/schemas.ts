/** What a plugin describes its sections with: a library of schemas, which no edge needs once it has read its configuration. */
import { Type } from "@sinclair/typebox";
import { Address, Duration, Name, Path, Secret, Section, Size } from "../../base/config/schema-types.ts";
import { BrokerTls, LeaseTimes, PasswordLogin } from "./section-parts.ts";

export const SCHEMAS = {
  name: "schemas",
  address: import.meta.url,
  exports: { Type, Address, Duration, Name, Path, Secret, Section, Size, BrokerTls, LeaseTimes, PasswordLogin },
} as const;
