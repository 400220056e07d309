/** `usage`, `audit` and `telemetry.otlp` of the configuration: what is told of what was done, and to whom. */
import { type TSchema, Type } from "@sinclair/typebox";
import { Duration, oneOf, optional, Path, Secret, Section, Size } from "../../base/config/schema-types.ts";

export const UsageSection = Section(
  {
    send_after: Duration({
      default: "10s",
      minimumMs: 100,
      description: "How long usage is gathered before a batch goes to the Core; a kill loses at most that.",
    }),
    batch_records: Type.Integer({ default: 1000, minimum: 1, maximum: 100_000, description: "Records in one batch." }),
    max_rows: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description:
        "Counts kept apart (principal, tenant, service, version); beyond, the oldest are merged under `*`. None is lost.",
    }),
    max_audit_lines: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description: "Audit lines that wait for the Core or a sink; beyond, they are dropped and counted.",
    }),
  },
  { default: {}, description: "What the Core is told of what was done." },
);

export function auditSection(sinks: Readonly<Record<string, TSchema>>) {
  return Section(
    {
      operations: Type.Union(
        (["failures", "all", "none"] as const).map((which) => Type.Literal(which)),
        {
          default: "failures",
          description:
            "Which operations are audited one by one. Leases, revocations, start and stop always are; `all` costs a line for each call.",
        },
      ),
      file: Type.Optional(
        Section(
          {
            path: Path({ description: "The file, JSON lines; `crypto-edge audit verify` checks it." }),
            max_size: Size({ default: "64MiB", description: "Beyond, the file is put aside and a new one begun." }),
            keep_files: Type.Integer({
              default: 0,
              minimum: 0,
              description: "How many files put aside are kept; 0 keeps all.",
            }),
            fsync: Type.Union(
              (["write", "second", "rotation"] as const).map((when) => Type.Literal(when)),
              {
                default: "second",
                description:
                  "When lines are forced to the disk: at each write, once a second, or when the file is full and at the end.",
              },
            ),
          },
          { description: "An audit file on this machine." },
        ),
      ),
      stdout: Type.Boolean({ default: false, description: "Whether the audit lines go to standard output too." }),
      write_after: Duration({
        default: "100ms",
        minimumMs: 1,
        description: "How long a line may wait in memory before it is written; a kill loses at most that.",
      }),
      sinks: Type.Array(
        Section({
          use: oneOf(Object.keys(sinks), { description: "An audit sink of a plugin." }),
          ...optional(sinks),
        }),
        { default: [], description: "Where plugins take the audit." },
      ),
    },
    { default: {}, description: "The audit: who did what." },
  );
}

export const OtlpSection = Section(
  {
    url: Type.String({
      pattern: "^https?://[^/\\s]",
      expected: "an https:// URL such as https://collector:4318",
      description: "The collector's OTLP/HTTP address, without `/v1/traces`; `http://` for one on this machine.",
    }),
    headers: Type.Record(
      Type.String({ pattern: "^[A-Za-z0-9-]{1,64}$" }),
      Secret({ description: "Its value; `file:PATH` for a secret, as that of `authorization`." }),
      { default: {}, expectedKey: "a header's name", description: "Headers of each request." },
    ),
    ca: Type.Optional(
      Path({
        description: "The authorities (PEM) that the collector's certificate must come from; else the runtime's.",
      }),
    ),
    cert: Type.Optional(Path({ description: "A client certificate (PEM), where the collector asks for one." })),
    key: Type.Optional(Path({ description: "The private key (PEM) of that certificate." })),
    service_name: Type.String({
      default: "crypto-edge",
      minLength: 1,
      description: "The `service.name` of all of it.",
    }),
    traces: Type.Boolean({
      default: true,
      description: "Whether misses, calls to the key source and revocations are sent as spans.",
    }),
    audit: Type.Boolean({ default: true, description: "Whether audit events are sent as log records." }),
  },
  { description: "A collector of OpenTelemetry; without it nothing is sent." },
);
