/** What each of these examples starts with: the edge beside the application, and records of one tenant. */
import { createClient } from "crypto-edge/client";
import { createRecords } from "crypto-edge/records";

export const edge = createClient({ url: process.env.CRYPTO_EDGE_URL ?? "unix:/run/crypto-edge/billing.sock" });
export const records = createRecords(edge, { tenant: "tenant-a", service: "billing" });

export interface Address {
  street: string;
  city: string;
}
