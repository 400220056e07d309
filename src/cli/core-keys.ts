/** `crypto-edge core …` on tenants, services and their keys, at a running Core. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Impact } from "../core/impact.ts";
import type { LoggedEvent } from "../core/protocol/events.ts";
import type { ServiceSummary, TenantSummary } from "../core/protocol/key-state.ts";
import { type AdminOptions, administer, administering, table } from "./core-call.ts";
import { requireBun } from "./require-bun.ts";

interface RevokeOptions extends AdminOptions {
  readonly keyVersion?: number;
  readonly reason?: string;
  readonly rotate?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

interface RestoreOptions extends RevokeOptions {
  readonly config?: string;
  readonly versionMargin?: number;
  readonly force?: boolean;
}

export function registerCoreKeys(core: Command): void {
  const tenant = core.command("tenant").description("tenants: list, create");
  administering(tenant.command("list").description("every tenant")).action((options: AdminOptions) =>
    administer(options, "GET", "tenants", undefined, (answer) => tenantLines(answer as { tenants: TenantSummary[] })),
  );
  administering(
    tenant.command("create").argument("<tenant>").description("make a tenant, with a key of its own"),
  ).action((name: string, options: AdminOptions) =>
    administer(options, "POST", "tenants", { tenant: name }, () => [`tenant ${name} made`]),
  );

  const service = core.command("service").description("services: list, create");
  administering(
    service.command("list").argument("<tenant>").description("a tenant's services and their versions"),
  ).action((name: string, options: AdminOptions) =>
    administer(options, "GET", `services?tenant=${encodeURIComponent(name)}`, undefined, (answer) =>
      serviceLines(answer as { services: ServiceSummary[] }),
    ),
  );
  administering(
    service
      .command("create")
      .argument("<tenant>")
      .argument("<service>")
      .description("make a service with version 1 of its key, and its tenant where that is new"),
  ).action((name: string, serviceName: string, options: AdminOptions) =>
    administer(options, "POST", "services", { tenant: name, service: serviceName }, () => [
      `service ${name}/${serviceName} made, version 1 active`,
    ]),
  );

  administering(
    core
      .command("rotate")
      .argument("<tenant>")
      .argument("<service>")
      .description("make a new active version of a service key; the older one still opens"),
  )
    .addHelpText("after", "\nExample:\n  crypto-edge core rotate tenant-a billing")
    .action((name: string, serviceName: string, options: AdminOptions) =>
      administer(options, "POST", "rotate", { tenant: name, service: serviceName }, eventLines),
    );

  revoking(
    core.command("revoke"),
    "cut off a version, a service or a tenant at every edge, at once; `restore` undoes it",
  )
    .option("--dry-run", "tell which edges it would hit, and change nothing")
    .addHelpText(
      "after",
      '\nExample:\n  crypto-edge core revoke tenant-a billing --key-version 3 --reason "lost backup"',
    )
    .action((name: string, serviceName: string | undefined, options: RevokeOptions) =>
      options.dryRun === true
        ? administer(options, "POST", "impact", scope(name, serviceName, options), impactLines)
        : administer(options, "POST", "revoke", revocation(name, serviceName, options), eventLines),
    );

  revoking(
    core.command("destroy"),
    "cut off as `revoke`, and erase the keys: what they wrapped can never be opened again",
  )
    .option("--yes", "really; there is no way back")
    .addHelpText("after", '\nExample:\n  crypto-edge core destroy tenant-a --reason "contract ended" --yes')
    .action(async (name: string, serviceName: string | undefined, options: RevokeOptions, command: Command) => {
      if (options.yes !== true) command.error("error: destroying keys can't be undone: add --yes if you mean it");
      await administer(options, "POST", "destroy", revocation(name, serviceName, options), eventLines);
    });

  administering(
    core
      .command("restore")
      .argument("[tenant-or-file]", "a tenant; with --config the file that `core backup` made")
      .argument("[service]")
      .addOption(keyVersion())
      .description("lift a revocation made in error; or, with --config, make a Core's database from a backup"),
  )
    .option("-c, --config <file>", "the configuration of a Core that is stopped, whose database is restored")
    .option("--version-margin <n>", "how many versions a service may have got since the backup, at most", wholeNumber)
    .option("--force", "put a database that is there aside")
    .addHelpText(
      "after",
      `
Name the scope that the revocation named. A database in PostgreSQL is restored by its own tools first, then by this without a file.

Examples:
  crypto-edge core restore tenant-a billing --key-version 3
  crypto-edge core restore core.backup --config core.yaml --version-margin 1000`,
    )
    .action(
      async (first: string | undefined, serviceName: string | undefined, options: RestoreOptions, command: Command) => {
        if (options.config !== undefined) {
          requireBun("`core restore` of a database");
          const { restoreDatabase } = await import("./core-database.ts");
          return restoreDatabase(options.config, first, options);
        }
        if (first === undefined) command.error("error: name a tenant, or a file with --config");
        await administer(options, "POST", "restore", scope(first!, serviceName, options), eventLines);
      },
    );

  administering(
    core.command("usage").description("what the edges reported, by tenant, service, version and principal"),
  ).action((options: AdminOptions) =>
    administer(options, "GET", "usage", undefined, (answer) => {
      const { usage } = answer as { usage: Record<string, string | number>[] };
      const columns = ["edge", "tenant", "service", "version", "operation", "outcome", "principal", "count"];
      return table([columns, ...usage.map((one) => columns.map((column) => String(one[column] ?? "")))]);
    }),
  );

  administering(
    core
      .command("roll-signing-key")
      .description("sign events for brokers with a new key from now on")
      .option("--withdraw", "take the old keys out of the key set at once: one was stolen", false),
  ).action(({ withdraw, ...options }: AdminOptions & { withdraw: boolean }) =>
    administer(options, "POST", "signing-keys", { withdraw }, (answer) => [
      `new key ${(answer as { kid: string }).kid}`,
    ]),
  );

  administering(
    core
      .command("rotate-master-key")
      .description("put everything under the master key of the configuration; broken off, run it again"),
  )
    .addHelpText("after", "\nGive the new key as master_key and the old one as former_master_key to every Core first.")
    .action((options: AdminOptions) =>
      administer(options, "POST", "master-key", {}, (answer) => {
        const { rewrapped, unchanged } = answer as { rewrapped: number; unchanged: number };
        return [
          `${rewrapped} keys are under the new master key now, ${unchanged} were already: take former_master_key out of the configuration`,
        ];
      }),
    );
}

function revoking(command: Command, description: string): Command {
  return administering(
    command
      .argument("<tenant>")
      .argument("[service]", "without it, the whole tenant")
      .addOption(keyVersion())
      .option("--reason <text>", "for the record; edges see it")
      .option("--rotate", "make a new active version in the same step (with --key-version)")
      .description(description),
  );
}

function keyVersion(): Option {
  return new Option("--key-version <n>", "one version alone").argParser(wholeNumber);
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError("Give a whole number from 1.");
  return number;
}

function scope(tenant: string, service: string | undefined, options: RevokeOptions): Record<string, unknown> {
  return {
    tenant,
    ...(service === undefined ? {} : { service }),
    ...(options.keyVersion === undefined ? {} : { version: options.keyVersion }),
  };
}

function revocation(tenant: string, service: string | undefined, options: RevokeOptions): Record<string, unknown> {
  return {
    ...scope(tenant, service, options),
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(options.rotate === undefined ? {} : { rotate: options.rotate }),
  };
}

function impactLines(answer: unknown): string[] {
  const { since, operations, edges } = answer as Impact;
  return [
    `nothing was changed; ${operations} operations were reported since ${since}`,
    ...table([
      ["edge", "operations", "lease of versions", "until", "told"],
      ...edges.map(({ edge, operations: count, versions, leaseEndsAt, follows }) => [
        edge,
        String(count),
        versions.join(" ") || "-",
        leaseEndsAt ?? "-",
        follows ? "at once" : "when it renews",
      ]),
    ]),
  ];
}

function eventLines(answer: unknown): string[] {
  return (answer as { events: LoggedEvent[] }).events.map(eventLine);
}

/** One event, for a person. */
export function eventLine(event: LoggedEvent): string {
  const version = "version" in event && event.version !== undefined ? ` version ${event.version}` : "";
  const name = event.service === undefined ? `tenant ${event.tenant}` : `${event.tenant}/${event.service}${version}`;
  const now = event.type === "rotate" ? "active now" : event.type === "restore" ? "restored" : event.state;
  return `${name} is ${now} (event ${event.seq})`;
}

function tenantLines({ tenants }: { tenants: TenantSummary[] }): string[] {
  if (tenants.length === 0) return ["no tenant yet: crypto-edge core service create TENANT SERVICE"];
  return table([
    ["tenant", "state", "services"],
    ...tenants.map(({ tenant, state, services }) => [tenant, state, String(services)]),
  ]);
}

function serviceLines({ services }: { services: ServiceSummary[] }): string[] {
  if (services.length === 0) return ["no service yet: crypto-edge core service create TENANT SERVICE"];
  return table([
    ["service", "state", "version", "version's state", "made"],
    ...services.flatMap(({ service, state, versions }) =>
      versions.map((one) => [service, state, String(one.version), one.state, one.createdAt]),
    ),
  ]);
}
