/** What the commands for a Core's administrators share: how they find it, and how they show what it says. */
import { type Command, Option } from "commander";
import type { AdminClient } from "../core/admin-client.ts";
import { type Access, chosenContext } from "./context.ts";
import { print } from "./print.ts";

const DEFAULT_CORE = "https://127.0.0.1:8443";

export interface AdminOptions {
  readonly url?: string;
  readonly pki?: string;
  readonly context?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly json?: boolean;
}

export function administering(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", `the Core's address (default: the context's, or ${DEFAULT_CORE})`).env(
        "CRYPTO_CORE_URL",
      ),
    )
    .option(
      "--pki <folder>",
      "where ca.pem, core-admin.pem and core-admin.key are (default: the context's files, or pki)",
    )
    .option("--context <name>", "the context to take the rest from (CRYPTO_EDGE_CONTEXT)")
    .addOption(new Option("--ca <file>", "the CA certificate, where it is elsewhere").env("CRYPTO_CORE_CA"))
    .addOption(new Option("--cert <file>", "the administrator's certificate").env("CRYPTO_CORE_CERT"))
    .addOption(new Option("--key <file>", "its private key").env("CRYPTO_CORE_KEY"))
    .option("--json", "as JSON");
}

/** A client of the Core that the options name. The caller closes it. */
export async function connect(options: AdminOptions): Promise<AdminClient> {
  const { existsSync } = await import("node:fs");
  const { join } = await import("node:path");
  const { createAdminClient } = await import("../core/admin-client.ts");
  const { readCoreCertificates } = await import("../edge/key-source/core/core-certificates.ts");
  const { core } = chosenContext(options.context);
  const url = options.url ?? core?.url ?? DEFAULT_CORE;
  // A context's files are for its own Core, and not for another that a flag names; a folder that is named goes before them.
  const files: Partial<Access> = options.pki === undefined && core !== undefined && url === core.url ? core : {};
  const folder = options.pki ?? "pki";
  const paths = {
    ca: options.ca ?? files.ca ?? join(folder, "ca.pem"),
    cert: options.cert ?? files.cert ?? join(folder, "core-admin.pem"),
    key: options.key ?? files.key ?? join(folder, "core-admin.key"),
  };
  // Nobody has said where they are.
  if (
    Object.keys(files).length === 0 &&
    options.pki === undefined &&
    options.cert === undefined &&
    !existsSync(paths.cert)
  ) {
    throw new Error(
      `there is no administrator's certificate here (${paths.cert}): name its folder with --pki, the files with --ca, --cert and --key, or a context with --context`,
    );
  }
  return createAdminClient({ url, certificates: readCoreCertificates(paths) });
}

/** One call, and its answer shown: as JSON where the options say so. */
export async function administer(
  options: AdminOptions,
  method: "GET" | "POST",
  path: string,
  body: unknown,
  show: (answer: unknown) => string[],
): Promise<void> {
  const client = await connect(options);
  try {
    const answer = await client.call(method, path, body);
    print(options.json === true ? JSON.stringify(answer) : show(answer).join("\n"));
  } finally {
    client.close();
  }
}

export function table(rows: readonly (readonly string[])[]): string[] {
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
