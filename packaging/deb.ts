/**
 * Makes Debian packages of a compiled executable. Needs dpkg-deb. `crypto-edge`: binary, unit, configuration, man page.
 * `crypto-edge-core`: the unit and configuration of a Core, run by the same binary.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";

export interface DebOptions {
  /** The executable. */
  readonly binary: string;
  readonly version: string;
  /** As Debian calls it: `amd64`, `arm64`. */
  readonly architecture: string;
  /** The folder that the package goes to. */
  readonly output: string;
  readonly manPage: string;
  /** Seconds since 1970 that files are dated with, so that the same source makes the same package. */
  readonly epochSeconds: number;
}

const HERE = import.meta.dirname;

/** @returns the package's path. */
export function buildDeb(options: DebOptions): string {
  return pack("crypto-edge", options, {
    files: {
      "usr/bin/crypto-edge": { from: options.binary, mode: 0o755 },
      "usr/lib/systemd/system/crypto-edge.service": { from: join(HERE, "crypto-edge.service") },
      "etc/crypto-edge/edge.yaml": { from: join(HERE, "edge.yaml"), mode: 0o640 },
      "usr/share/doc/crypto-edge/examples/edge.yaml": { from: join(HERE, "edge.yaml") },
      "usr/share/doc/crypto-edge/copyright": { content: COPYRIGHT },
      "usr/share/man/man1/crypto-edge.1.gz": { content: gzipSync(options.manPage, { level: 9 }) },
    },
    control: (installedKibibytes) => control(options, installedKibibytes),
    conffiles: "/etc/crypto-edge/edge.yaml\n",
    scripts: { postinst: POSTINST, prerm: PRERM, postrm: POSTRM },
  });
}

/** @returns the package's path. */
export function buildCoreDeb(options: DebOptions): string {
  return pack("crypto-edge-core", options, {
    files: {
      "usr/lib/systemd/system/crypto-edge-core.service": { from: join(HERE, "crypto-edge-core.service") },
      "etc/crypto-edge-core/core.yaml": { from: join(HERE, "core.yaml"), mode: 0o640 },
      "usr/share/doc/crypto-edge-core/examples/core.yaml": { from: join(HERE, "core.yaml") },
      "usr/share/doc/crypto-edge-core/copyright": { content: COPYRIGHT },
    },
    control: (installedKibibytes) => coreControl(options, installedKibibytes),
    conffiles: "/etc/crypto-edge-core/core.yaml\n",
    scripts: { postinst: CORE_POSTINST, prerm: CORE_PRERM, postrm: POSTRM },
  });
}

interface PackageParts {
  /** By their paths; readable by everybody unless `mode` says otherwise. */
  readonly files: Readonly<
    Record<string, ({ readonly from: string } | { readonly content: string | Uint8Array }) & { readonly mode?: number }>
  >;
  readonly control: (installedKibibytes: number) => string;
  readonly conffiles: string;
  readonly scripts: Readonly<Record<string, string>>;
}

function pack(name: string, options: DebOptions, parts: PackageParts): string {
  const root = mkdtempSync(join(tmpdir(), "crypto-edge-deb-"));
  try {
    const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
      const target = join(root, path);
      mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
      writeFileSync(target, content);
      chmodSync(target, mode);
    };
    for (const [path, file] of Object.entries(parts.files)) {
      put(path, "from" in file ? readFileSync(file.from) : file.content, file.mode);
    }
    const files = filesOf(root);
    const installedKibibytes = Math.ceil(files.reduce((sum, path) => sum + readFileSync(path).length, 0) / 1024);
    put("DEBIAN/control", parts.control(installedKibibytes));
    put("DEBIAN/conffiles", parts.conffiles);
    put("DEBIAN/md5sums", files.map((path) => `${md5(path)}  ${relative(root, path)}\n`).join(""));
    for (const [script, text] of Object.entries(parts.scripts)) put(`DEBIAN/${script}`, text, 0o755);

    mkdirSync(options.output, { recursive: true });
    const deb = join(options.output, `${name}_${options.version}_${options.architecture}.deb`);
    // The folder that mkdtemp made is for its owner alone; in the package it is the root of the file system.
    chmodSync(root, 0o755);
    const { exitCode, stderr } = Bun.spawnSync(
      ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z6", "--build", root, deb],
      {
        env: { ...process.env, SOURCE_DATE_EPOCH: String(options.epochSeconds) },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    if (exitCode !== 0) throw new Error(`dpkg-deb failed: ${stderr.toString().trim()}`);
    return deb;
  } finally {
    rmSync(root, { recursive: true });
  }
}

function control({ version, architecture }: DebOptions, installedKibibytes: number): string {
  return `Package: crypto-edge
Version: ${version}
Architecture: ${architecture}
Maintainer: The crypto-edge maintainers <maintainers@crypto-edge.invalid>
Installed-Size: ${installedKibibytes}
Depends: libc6 (>= 2.31)
Section: net
Priority: optional
Description: data keys next to the application
 Makes and opens data keys locally, in microseconds, under service keys that a
 Core leases to it. Nothing is stored: the application keeps the wrapped keys.
`;
}

function coreControl({ version, architecture }: DebOptions, installedKibibytes: number): string {
  return `Package: crypto-edge-core
Version: ${version}
Architecture: ${architecture}
Maintainer: The crypto-edge maintainers <maintainers@crypto-edge.invalid>
Installed-Size: ${installedKibibytes}
Depends: crypto-edge (= ${version})
Section: net
Priority: optional
Description: the reference Core of crypto-edge, as a service
 The authority that holds service keys and grants leases to edges: a systemd
 unit and an example configuration for the binary of crypto-edge.
`;
}

const COPYRIGHT = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: crypto-edge

Files: *
Copyright: the crypto-edge authors
License: Apache-2.0
 On Debian systems the license is in /usr/share/common-licenses/Apache-2.0.
`;

/** Nothing is started: the example names a Core that does not exist. */
const POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  for group in crypto-edge-keys crypto-edge-clients; do
    getent group "$group" >/dev/null || groupadd --system "$group"
  done
  chgrp crypto-edge-keys /etc/crypto-edge /etc/crypto-edge/edge.yaml
  chmod 0750 /etc/crypto-edge
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # An upgrade: the new binary takes over at once; keys are leased again.
    if [ -n "$2" ]; then systemctl try-restart crypto-edge.service; fi
  fi
fi
`;

/** Nothing is started: there are no certificates and no master key yet. */
const CORE_POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  getent group crypto-edge-core >/dev/null || groupadd --system crypto-edge-core
  chgrp crypto-edge-core /etc/crypto-edge-core /etc/crypto-edge-core/core.yaml
  chmod 0750 /etc/crypto-edge-core
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ -n "$2" ]; then systemctl try-restart crypto-edge-core.service; fi
  fi
fi
`;

const CORE_PRERM = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now crypto-edge-core.service || true
fi
`;

const PRERM = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now crypto-edge.service || true
fi
`;

const POSTRM = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

function md5(path: string): string {
  return createHash("md5").update(readFileSync(path)).digest("hex");
}
