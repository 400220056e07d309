/** What a plugin describes its sections with: a library of schemas, which no edge needs once it has read its configuration. */
export { Type } from "@sinclair/typebox";
export { Address, Duration, Name, Path, Secret, Section, Size } from "../../base/config/schema-types.ts";
export { BrokerTls, LeaseTimes, PasswordLogin } from "./section-parts.ts";

/** For `droppable`. */
export const ADDRESS: string = import.meta.url;
