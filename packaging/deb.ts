/** Makes a Debian package of a compiled executable: binary, unit, configuration, man page. Needs dpkg-deb. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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
  const root = mkdtempSync(join(tmpdir(), "crypto-edge-deb-"));
  try {
    const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
      const target = join(root, path);
      mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
      writeFileSync(target, content);
      chmodSync(target, mode);
    };
    mkdirSync(join(root, "usr/bin"), { recursive: true });
    copyFileSync(options.binary, join(root, "usr/bin/crypto-edge"));
    chmodSync(join(root, "usr/bin/crypto-edge"), 0o755);
    put("usr/lib/systemd/system/crypto-edge.service", readFileSync(join(HERE, "crypto-edge.service")));
    put("etc/crypto-edge/edge.yaml", readFileSync(join(HERE, "edge.yaml")), 0o640);
    put("usr/share/doc/crypto-edge/examples/edge.yaml", readFileSync(join(HERE, "edge.yaml")));
    put("usr/share/doc/crypto-edge/copyright", COPYRIGHT);
    put("usr/share/man/man1/crypto-edge.1.gz", gzipSync(options.manPage, { level: 9 }));

    const files = filesOf(root);
    const installedKibibytes = Math.ceil(files.reduce((sum, path) => sum + readFileSync(path).length, 0) / 1024);
    put("DEBIAN/control", control(options, installedKibibytes));
    put("DEBIAN/conffiles", "/etc/crypto-edge/edge.yaml\n");
    put("DEBIAN/md5sums", files.map((path) => `${md5(path)}  ${relative(root, path)}\n`).join(""));
    put("DEBIAN/postinst", POSTINST, 0o755);
    put("DEBIAN/prerm", PRERM, 0o755);
    put("DEBIAN/postrm", POSTRM, 0o755);

    mkdirSync(options.output, { recursive: true });
    const deb = join(options.output, `crypto-edge_${options.version}_${options.architecture}.deb`);
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
