/** `crypto-edge core …`: runs the reference Core, and tells a running one what to do. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { LoggedEvent } from "../core/protocol/events.ts";
import type { ServiceSummary, TenantSummary } from "../core/protocol/key-state.ts";
import { type Access, chosenContext } from "./context.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { refuseHostileEnvironment } from "./hostile-environment.ts";

const DEFAULT_CORE = "https://127.0.0.1:8443";

interface AdminOptions {
  readonly url?: string;
  readonly pki?: string;
  readonly context?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly json?: boolean;
}

interface RevokeOptions extends AdminOptions {
  readonly keyVersion?: number;
  readonly reason?: string;
  readonly rotate?: boolean;
  readonly yes?: boolean;
}

export function registerCore(program: Command): void {
  const core = program
    .command("core")
    .description("run the reference Core, and administer a running one")
    .addHelpText(
      "after",
      `
The commands for administrators find the Core by --url (or CRYPTO_CORE_URL, or the context), and show it the certificate
core-admin.pem of the folder --pki (default pki), made by \`crypto-edge pki core --admin\`, or the context's.

Examples:
  crypto-edge core serve --config core.yaml
  crypto-edge core service create tenant-a billing
  crypto-edge core rotate tenant-a billing
  crypto-edge core revoke tenant-a billing --key-version 3 --reason "lost backup" --rotate`,
    );

  core
    .command("serve")
    .description("run the Core")
    .requiredOption("-c, --config <file>", "the YAML configuration (docs/core.md)")
    .addHelpText("after", "\nExample:\n  crypto-edge core serve --config core.yaml\n\nSIGHUP reloads the certificates.")
    .action(async (options: { config: string }) => {
      refuseHostileEnvironment();
      const { serveCore } = await import("../core/serve-core.ts");
      const { stopSignal } = await import("../base/system/stop-signal.ts");
      const stopped = stopSignal();
      const running = await serveCore(options.config);
      console.log(`core: ready on ${running.url}`);
      await stopped;
      await running.close();
    });

  core
    .command("config")
    .description("check a Core's configuration")
    .command("check")
    .argument("<file>", "the YAML file")
    .description("say what is wrong with a Core's configuration, by line, without starting")
    .option("--json", "as JSON: { ok, problems }")
    .addHelpText("after", "\nExample:\n  crypto-edge core config check core.yaml")
    .action(async (file: string, options: { json?: boolean }) => {
      const { ConfigurationError } = await import("../base/config/load.ts");
      const { checkCore } = await import("../core/load-core.ts");
      let problems: readonly string[] = [];
      try {
        await checkCore(file);
      } catch (error) {
        if (!options.json || !(error instanceof ConfigurationError)) throw error;
        problems = error.lines;
        process.exitCode = EXIT_FAILED;
      }
      if (options.json) console.log(JSON.stringify({ ok: problems.length === 0, problems }));
      else console.log(`${file}: no mistakes`);
    });

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
    .addHelpText(
      "after",
      '\nExample:\n  crypto-edge core revoke tenant-a billing --key-version 3 --reason "lost backup"',
    )
    .action((name: string, serviceName: string | undefined, options: RevokeOptions) =>
      administer(options, "POST", "revoke", revocation(name, serviceName, options), eventLines),
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
      .argument("<tenant>")
      .argument("[service]")
      .addOption(keyVersion())
      .description("lift a revocation made in error; name the same scope as the revocation did"),
  )
    .addHelpText("after", "\nExample:\n  crypto-edge core restore tenant-a billing --key-version 3")
    .action((name: string, serviceName: string | undefined, options: RevokeOptions) =>
      administer(options, "POST", "restore", scope(name, serviceName, options), eventLines),
    );

  administering(core.command("edges").description("the edges that this Core has seen since it started")).action(
    (options: AdminOptions) =>
      administer(options, "GET", "edges", undefined, (answer) => {
        const { edges } = answer as {
          edges: { edge: string; lastSeenAt: string; leaseCalls: number; usageBatches: number; streams: number }[];
        };
        if (edges.length === 0) return ["no edge has called yet"];
        return table([
          ["edge", "last seen", "leases", "usage batches", "streams"],
          ...edges.map((one) => [
            one.edge,
            one.lastSeenAt,
            String(one.leaseCalls),
            String(one.usageBatches),
            String(one.streams),
          ]),
        ]);
      }),
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
    core.command("roll-signing-key").description("sign events for brokers with a new key from now on"),
  ).action((options: AdminOptions) =>
    administer(options, "POST", "signing-keys", {}, (answer) => [`new key ${(answer as { kid: string }).kid}`]),
  );
}

function administering(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", "the Core's address (default: the context's, or https://127.0.0.1:8443)").env(
        "CRYPTO_CORE_URL",
      ),
    )
    .addOption(
      new Option(
        "--pki <folder>",
        "where ca.pem, core-admin.pem and core-admin.key are (default: the context's files, or pki)",
      ),
    )
    .option("--context <name>", "the context to take the rest from (CRYPTO_EDGE_CONTEXT)")
    .addOption(new Option("--ca <file>", "the CA certificate, where it is elsewhere").env("CRYPTO_CORE_CA"))
    .addOption(new Option("--cert <file>", "the administrator's certificate").env("CRYPTO_CORE_CERT"))
    .addOption(new Option("--key <file>", "its private key").env("CRYPTO_CORE_KEY"))
    .option("--json", "as JSON");
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
  return new Option("--key-version <n>", "one version alone").argParser((text) => {
    const version = Number(text);
    if (!Number.isInteger(version) || version < 1) throw new InvalidArgumentError("Give a version from 1.");
    return version;
  });
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

async function administer(
  options: AdminOptions,
  method: "GET" | "POST",
  path: string,
  body: unknown,
  show: (answer: unknown) => string[],
): Promise<void> {
  const { join } = await import("node:path");
  const { createAdminClient } = await import("../core/admin-client.ts");
  const { readCoreCertificates } = await import("../edge/key-source/core/core-certificates.ts");
  const { core } = chosenContext(options.context);
  const url = options.url ?? core?.url ?? DEFAULT_CORE;
  // A context's files are for its own Core, and not for another that a flag names; a folder that is named goes before them.
  const files: Partial<Access> = options.pki === undefined && url === core?.url ? core : {};
  const folder = options.pki ?? "pki";
  const client = createAdminClient({
    url,
    certificates: readCoreCertificates({
      ca: options.ca ?? files.ca ?? join(folder, "ca.pem"),
      cert: options.cert ?? files.cert ?? join(folder, "core-admin.pem"),
      key: options.key ?? files.key ?? join(folder, "core-admin.key"),
    }),
  });
  try {
    const answer = await client.call(method, path, body);
    console.log(options.json === true ? JSON.stringify(answer) : show(answer).join("\n"));
  } finally {
    client.close();
  }
}

function eventLines(answer: unknown): string[] {
  return (answer as { events: LoggedEvent[] }).events.map((event) => {
    const version = "version" in event && event.version !== undefined ? ` version ${event.version}` : "";
    const name = event.service === undefined ? `tenant ${event.tenant}` : `${event.tenant}/${event.service}${version}`;
    const now = event.type === "rotate" ? "active now" : event.type === "restore" ? "restored" : event.state;
    return `${name} is ${now} (event ${event.seq})`;
  });
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

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, column) => Math.max(cell.length, widest[column] ?? 0)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
