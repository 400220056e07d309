/** `crypto-edge pki …`: a certificate authority of one's own, and certificates for Core, edges and clients. */
import { X509Certificate } from "node:crypto";
import { basename, dirname } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CertificateRequest } from "../base/pki/authority.ts";
import type { Identity } from "../base/pki/identity.ts";
import { print } from "./print.ts";

interface IssueOptions {
  readonly dir: string;
  readonly dns: string[];
  readonly ip: string[];
  readonly days?: number;
  readonly out?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function registerPki(program: Command): void {
  const pki = program
    .command("pki")
    .description("make a certificate authority, and certificates for Core, edges and clients")
    .addHelpText(
      "after",
      `
Examples:
  crypto-edge pki init --trust-domain example.org
  crypto-edge pki core --dns core.example.org
  crypto-edge pki core --admin
  crypto-edge pki edge edge-1
  crypto-edge pki client billing/api
  crypto-edge pki renew pki/edge-1.pem
  crypto-edge pki revoke pki/edge-1.pem`,
    );

  pki
    .command("init")
    .description("make the authority: ca.pem, and ca.key to keep safe and offline")
    .requiredOption("--trust-domain <name>", "what every identity begins with, such as example.org")
    .addOption(directory())
    .addOption(days("how long it is good (default 3650)"))
    .option("--force", "replace what is there: every certificate of the old authority is worthless then")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  crypto-edge pki init --trust-domain example.org --dir pki")
    .action(async (options: { trustDomain: string; dir: string; days?: number; force?: boolean; json?: boolean }) => {
      const { createAuthority } = await import("../base/pki/authority.ts");
      const { writeCertificateAndKey } = await import("../base/pki/files.ts");
      const authority = await createAuthority({
        trustDomain: options.trustDomain,
        ...(options.days === undefined ? {} : { days: options.days }),
      });
      const files = writeCertificateAndKey(options.dir, "ca", authority, { force: options.force === true });
      await report(`spiffe://${options.trustDomain}`, files, options.json === true);
    });

  issuing(pki.command("edge").argument("<id>", "the edge's id, as in its configuration"), "a certificate for an edge")
    .addHelpText("after", "\nExample:\n  crypto-edge pki edge edge-1")
    .action((id: string, options: IssueOptions) => issue(options, { kind: "edge", edge: id }, id));

  issuing(pki.command("core"), "the Core's certificate; with --admin, one for its administrator")
    .option("--admin", "for an administrator of the Core")
    .addHelpText(
      "after",
      "\nExamples:\n  crypto-edge pki core --dns core.example.org --ip 10.0.0.7\n  crypto-edge pki core --admin",
    )
    .action((options: IssueOptions & { admin?: boolean }) =>
      options.admin === true
        ? issue(options, { kind: "core-admin" }, "core-admin")
        : issue(options, { kind: "core" }, "core"),
    );

  issuing(
    pki.command("client").argument("<path>", "what stands after the trust domain, such as billing/api"),
    "a certificate for a caller of the edge",
  )
    .addHelpText("after", "\nExample:\n  crypto-edge pki client billing/api")
    .action((path: string, options: IssueOptions) =>
      issue(options, { kind: "client", path }, path.replaceAll("/", "-")),
    );

  pki
    .command("renew")
    .argument("<certificates...>", "certificate files (PEM) that this authority issued, each with its .key beside it")
    .description("issue them again for the same identity and names, with new keys, in the same files")
    .addOption(directory())
    .addOption(days("how long they are good (default: as long as the old ones were)"))
    .addOption(withinDays())
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  crypto-edge pki renew pki/edge-1.pem\n  crypto-edge pki renew --within 30 pki/edge-1.pem pki/core.pem   # for a timer\n\nEdges and the Core take the new files up by themselves.",
    )
    .action(renew);

  pki
    .command("revoke")
    .argument("<certificates...>", "certificate files (PEM)")
    .description("put certificates on the revocation list (crl.pem), which is made anew with all that were revoked")
    .addOption(directory())
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  crypto-edge pki revoke pki/billing-api.pem")
    .action(async (paths: string[], options: { dir: string; json?: boolean }) => {
      const { describeCertificate, makeRevocationList } = await import("../base/pki/authority.ts");
      const { noteRevoked, readAuthority, readPem, writeRevocationList } = await import("../base/pki/files.ts");
      const authority = readAuthority(options.dir);
      const certificates = paths.map((path) => readPem(path));
      const serials = certificates.map((certificate) => describeCertificate(certificate).serial);
      let all: string[] = [];
      certificates.forEach((certificate, index) => {
        all = noteRevoked(options.dir, certificate, serials[index] ?? "");
      });
      const file = writeRevocationList(options.dir, await makeRevocationList(authority, all));
      if (options.json === true) print(JSON.stringify({ list: file, revoked: serials, entries: all.length }));
      else print(`${file}  ${all.length} revoked\nGive it to the edges and reload them (SIGHUP).`);
    });
}

function issuing(command: Command, description: string): Command {
  return command
    .description(description)
    .addOption(directory())
    .option("--dns <name>", "a host name it may serve under (again for more)", collect, [])
    .option("--ip <address>", "an IP address it may serve under (again for more)", collect, [])
    .addOption(days("how long it is good (default 365)"))
    .option("--out <name>", "the files' name without .pem and .key")
    .option("--force", "replace files that are there")
    .option("--json", "as JSON");
}

async function issue(options: IssueOptions, identity: Identity, name: string): Promise<void> {
  const { issueCertificate } = await import("../base/pki/authority.ts");
  const { spiffeId } = await import("../base/pki/identity.ts");
  const { readAuthority, writeCertificateAndKey } = await import("../base/pki/files.ts");
  const authority = readAuthority(options.dir);
  const request: CertificateRequest = {
    identity,
    dns: options.dns,
    ip: options.ip,
    ...(options.days === undefined ? {} : { days: options.days }),
  };
  const pair = await issueCertificate(authority, request);
  const files = writeCertificateAndKey(options.dir, options.out ?? name, pair, { force: options.force === true });
  await report(spiffeId(authority.trustDomain, identity), files, options.json === true);
}

interface RenewOptions {
  readonly dir: string;
  readonly days?: number;
  readonly within?: number;
  readonly json?: boolean;
}

const DAY_MS = 86_400_000;

async function renew(paths: readonly string[], options: RenewOptions): Promise<void> {
  const { describeCertificate, issueCertificate, PkiError } = await import("../base/pki/authority.ts");
  const { parseSpiffeId } = await import("../base/pki/identity.ts");
  const { readAuthority, readPem, writeCertificateAndKey } = await import("../base/pki/files.ts");
  const authority = readAuthority(options.dir);
  for (const path of paths) {
    if (!path.endsWith(".pem"))
      throw new PkiError(`${path} is no file of this command's making: give NAME.pem, with NAME.key beside it`);
    const { uris, dns, ip, notBefore, notAfter } = describeCertificate(readPem(path));
    const id = parseSpiffeId(uris[0] ?? "");
    // Whoever can write a file there must not choose an identity that way.
    const isOurs = new X509Certificate(readPem(path)).verify(new X509Certificate(authority.certificate).publicKey);
    if (id === undefined || !isOurs)
      throw new PkiError(`${path} was not issued by this authority: renew it where it was made`);
    if (options.within !== undefined && notAfter.getTime() - Date.now() > options.within * DAY_MS) {
      if (options.json === true)
        print(JSON.stringify({ certificate: path, renewed: false, notAfter: notAfter.toISOString() }));
      else print(`${path}  good until ${notAfter.toISOString()}: not renewed yet`);
      continue;
    }
    const before = Math.max(1, Math.round((notAfter.getTime() - notBefore.getTime()) / DAY_MS));
    const pair = await issueCertificate(authority, { identity: id.identity, dns, ip, days: options.days ?? before });
    const directory = dirname(path);
    const files = writeCertificateAndKey(directory, basename(path, ".pem"), pair, { force: true });
    await report(uris[0]!, files, options.json === true);
  }
}

async function report(id: string, files: { certificate: string; key: string }, json: boolean): Promise<void> {
  const { describeCertificate } = await import("../base/pki/authority.ts");
  const { readPem } = await import("../base/pki/files.ts");
  const { serial, notAfter, dns, ip } = describeCertificate(readPem(files.certificate));
  if (json) {
    print(JSON.stringify({ id, ...files, serial, notAfter: notAfter.toISOString(), dns, ip }));
    return;
  }
  const names = [...dns, ...ip];
  print(
    [
      `identity     ${id}`,
      ...(names.length === 0 ? [] : [`serves as    ${names.join(", ")}`]),
      `certificate  ${files.certificate}`,
      `private key  ${files.key}  (only you can read it)`,
      `good until   ${notAfter.toISOString()}`,
    ].join("\n"),
  );
}

function directory(): Option {
  return new Option("--dir <folder>", "the folder of the authority and its certificates").default("pki");
}

function days(description: string): Option {
  return new Option("--days <n>", description).argParser((text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("Give a whole number of days.");
    return value;
  });
}

function withinDays(): Option {
  return new Option("--within <days>", "leave those alone that are good for longer").argParser((text) => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError("Give a number of days.");
    return value;
  });
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}
