/** Certificates and keys as files of one folder: `<name>.pem`, and `<name>.key` that only its owner may read. */
import { randomBytes } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../errors.ts";
import { readFileText } from "../read-file.ts";
import { type Authority, type CertificateAndKey, openAuthority, PkiError } from "./authority.ts";

export interface WrittenFiles {
  readonly certificate: string;
  readonly key: string;
}

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;

/** @throws PkiError where one of the two exists and `force` is not given; nothing is written then. */
export function writeCertificateAndKey(
  directory: string,
  name: string,
  pair: CertificateAndKey,
  options: { readonly force: boolean },
): WrittenFiles {
  const files = { certificate: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) };
  makeDirectory(directory);
  if (!options.force) {
    for (const file of [files.certificate, files.key]) if (existsSync(file)) throw exists(file);
  }
  writeWhole(files.key, pair.key, KEY_MODE, options.force);
  writeWhole(files.certificate, pair.certificate, CERTIFICATE_MODE, options.force);
  return files;
}

/** The authority that `crypto-edge pki init` made in this folder. */
export function readAuthority(directory: string): Authority {
  const certificate = join(directory, "ca.pem");
  const key = join(directory, "ca.key");
  for (const file of [certificate, key]) {
    if (!existsSync(file)) throw new PkiError(`there is no ${file}: make the CA first with \`crypto-edge pki init\``);
  }
  return openAuthority({ certificate: read(certificate), key: read(key) });
}

/** Notes a certificate as revoked. Returns all that are, for the next list. */
export function noteRevoked(directory: string, certificatePem: string, serial: string): string[] {
  const folder = join(directory, "revoked");
  makeDirectory(folder);
  writeWhole(join(folder, `${serial}.pem`), certificatePem, CERTIFICATE_MODE, true);
  return readdirSync(folder)
    .filter((name) => name.endsWith(".pem"))
    .map((name) => read(join(folder, name)));
}

export function writeRevocationList(directory: string, list: string): string {
  const file = join(directory, "crl.pem");
  writeWhole(file, list, CERTIFICATE_MODE, true);
  return file;
}

export function readPem(file: string): string {
  return read(file);
}

/** Never half a file, and without `replace` never over another one, whoever else writes. */
function writeWhole(file: string, text: string, mode: number, replace: boolean): void {
  const temporary = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(temporary, text, { mode, flag: "wx" });
    if (replace) {
      renameSync(temporary, file);
    } else {
      linkSync(temporary, file);
      rmSync(temporary);
    }
  } catch (error) {
    rmSync(temporary, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw exists(file);
    throw new PkiError(`${file} can't be written (${code ?? "unknown error"}): check the folder and its permissions`);
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new PkiError(`the folder ${directory} can't be made (${(error as NodeJS.ErrnoException).code})`);
  }
}

function read(file: string): string {
  try {
    return readFileText(file);
  } catch (error) {
    throw new PkiError(messageOf(error), { cause: error });
  }
}

function exists(file: string): PkiError {
  return new PkiError(`${file} exists: give --force to replace it, or another --dir`);
}
