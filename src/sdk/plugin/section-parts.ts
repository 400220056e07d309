/** Keys that the sections of many plugins have. */
import { Type } from "@sinclair/typebox";
import { Duration, Path, Secret, Section } from "../../base/config/schema-types.ts";

/** How to sign in with a password: two keys of a broker's section. */
export const PasswordLogin = {
  user: Type.Optional(Type.String({ minLength: 1, description: "With `password`." })),
  password: Type.Optional(Secret({ description: "In place, or `file:` and a path." })),
};

/** The files for TLS to a broker. */
export const BrokerTls = (description: string) =>
  Section(
    {
      ca: Type.Optional(Path({ description: "The CA of the server's certificate; the system's without it." })),
      cert: Type.Optional(Path({ description: "A client certificate, with `key`." })),
      key: Type.Optional(Path({ description: "Its private key." })),
    },
    { description },
  );

/** How long a source's leases last: two keys of its section. */
export const LeaseTimes = {
  ttl: Duration({
    default: "5m",
    minimumMs: 1_000,
    maximumMs: 3_600_000,
    description: "The hard deadline of a lease.",
  }),
  refresh_after: Duration({ default: "4m", minimumMs: 500, description: "When a lease is renewed." }),
};
