/**
 * Makes Debian packages of a compiled executable. Needs dpkg-deb. `crypto-edge`: binary, units, configuration, shipped plugins, examples,
 * completions, man page. `crypto-edge-core`: the unit, configuration and man page of a Core, run by the same binary.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { exampleFiles, PLUGINS, pluginFiles, pluginsReadme } from "./shared-files.ts";

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

export interface EdgeDebOptions extends DebOptions {
  /** What `crypto-edge completion SHELL` prints. */
  readonly completions: Readonly<Record<"bash" | "zsh" | "fish", string>>;
}

const HERE = import.meta.dirname;
const ROOT = dirname(HERE);

/**
 * Of the units `crypto-edge@NAME`, each with a configuration of its own: two take turns where an upgrade shall refuse no call. They are one user, since
 * the kernel lets nobody else listen on a port that is taken; and the one that ends leaves the folder of sockets to the other.
 */
export function instanceUnit(unit: string): string {
  return unit
    .replace(/^Description=.*$/m, "$&, %i")
    .replaceAll("/etc/crypto-edge/edge.yaml", "/etc/crypto-edge/%i.yaml")
    .replace(/^DynamicUser=yes$/m, "$&\nUser=crypto-edge")
    .replace(/^RuntimeDirectoryPreserve=restart$/m, "RuntimeDirectoryPreserve=yes");
}

/**
 * Of the unit `crypto-edge-handover`: serves by the same configuration while the package's upgrade restarts `crypto-edge`. It is the same user, for the same
 * reason as above, and leaves the folder of sockets; its audit goes to a file of its own, since an audit file has one writer.
 */
export function handoverUnit(unit: string): string {
  return unit
    .replace(/^Description=.*$/m, "$&, while it is upgraded")
    .replace(/^ExecStart=.*$/m, "$&\nEnvironment=CRYPTO_EDGE_AUDIT_FILE_PATH=/var/log/crypto-edge/audit-handover.jsonl")
    .replace(/^Restart=.*$/m, "Restart=no")
    .replace(/^RestartSec=.*\n/m, "")
    .replace(/^DynamicUser=yes$/m, "$&\nUser=crypto-edge")
    .replace(/^RuntimeDirectoryPreserve=restart$/m, "RuntimeDirectoryPreserve=yes")
    .replace(/\n\[Install\][\s\S]*$/, "");
}

/** @returns the package's path. */
export function buildDeb(options: EdgeDebOptions): string {
  const { bash, zsh, fish } = options.completions;
  const unit = readFileSync(join(HERE, "crypto-edge.service"), "utf8");
  return pack("crypto-edge", options, {
    files: {
      "usr/bin/crypto-edge": { from: options.binary, mode: 0o755 },
      "usr/lib/systemd/system/crypto-edge.service": { content: unit },
      "usr/lib/systemd/system/crypto-edge@.service": { content: instanceUnit(unit) },
      "usr/lib/systemd/system/crypto-edge-handover.service": { content: handoverUnit(unit) },
      "etc/crypto-edge/edge.yaml": { from: join(HERE, "edge.yaml"), mode: 0o640 },
      ...under(`${PLUGINS.slice(1)}`, pluginFiles(ROOT)),
      [`${PLUGINS.slice(1)}/README.md`]: { content: pluginsReadme(ROOT) },
      ...under("usr/share/doc/crypto-edge/examples", exampleFiles(ROOT)),
      "usr/share/doc/crypto-edge/examples/edge.yaml": { from: join(HERE, "edge.yaml") },
      "usr/share/bash-completion/completions/crypto-edge": { content: bash },
      "usr/share/zsh/vendor-completions/_crypto-edge": { content: zsh },
      "usr/share/fish/vendor_completions.d/crypto-edge.fish": { content: fish },
      "usr/share/doc/crypto-edge/copyright": { content: copyright(ROOT) },
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
      "usr/share/doc/crypto-edge-core/copyright": { content: copyright(ROOT) },
      "usr/share/man/man1/crypto-edge-core.1.gz": { content: gzipSync(options.manPage, { level: 9 }) },
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

function under(folder: string, files: PackageParts["files"]): PackageParts["files"] {
  return Object.fromEntries(Object.entries(files).map(([path, file]) => [`${folder}/${path}`, file]));
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
    // The folder that mkdtemp made is for its owner alone, and the others as the builder's umask has it: in the package they are everybody's to read.
    for (const folder of [root, ...foldersOf(root)]) chmodSync(folder, 0o755);
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
 .
 Plugins (HSMs, cloud KMS, message brokers) are in /usr/share/crypto-edge/plugins;
 its README.md says which of them need packages from npm.
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

/** Ours, and that of what the executable holds: the runtime, and the npm packages that it is compiled from, by the lock file. */
function copyright(root: string): string {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as LockFile;
  const held = new Map<string, string>();
  const hold = (name: string): void => {
    const entry = packages[`node_modules/${name}`];
    if (entry === undefined || held.has(name)) return;
    held.set(name, ` ${name} ${entry.version} (${entry.license ?? "see the package"})`);
    for (const each of Object.keys(entry.dependencies ?? {})) hold(each);
  };
  for (const name of Object.keys(packages[""]?.dependencies ?? {})) hold(name);
  const lines = [...held.keys()].toSorted().map((name) => held.get(name)!);
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: crypto-edge
Comment:
 The executable holds the runtime Bun ${packages["node_modules/bun"]?.version ?? ""} (MIT; it holds JavaScriptCore, LGPL-2, and others:
 https://bun.sh/docs/project/licensing), and code of these packages from npm:
${lines.join("\n")}

${COPYRIGHT}`;
}

interface LockFile {
  readonly packages: Readonly<
    Record<
      string,
      { readonly version: string; readonly license?: string; readonly dependencies?: Readonly<Record<string, string>> }
    >
  >;
}

const COPYRIGHT = `Files: *
Copyright: the crypto-edge authors
License: Apache-2.0
 On Debian systems the license is in /usr/share/common-licenses/Apache-2.0.
`;

/** Nothing is started: the example names a Core that does not exist. */
const POSTINST = `#!/bin/sh
set -e

# The new program takes over; keys are leased again. While the service restarts, another edge of the new program serves its callers, where
# every listener has shared: true; else calls are refused until the service is back.
upgrade() {
  if ! /usr/bin/crypto-edge config check /etc/crypto-edge/edge.yaml; then
    echo "crypto-edge: the new program does not take this configuration. The old one serves on: mend it, then run systemctl restart crypto-edge" >&2
    return 0
  fi
  if systemctl start crypto-edge-handover.service; then
    systemctl restart crypto-edge.service
    systemctl stop crypto-edge-handover.service
  else
    echo "crypto-edge: nothing can serve meanwhile (journalctl --unit crypto-edge-handover says why): calls are refused while the service restarts" >&2
    systemctl reset-failed crypto-edge-handover.service || true
    systemctl try-restart crypto-edge.service
  fi
}

if [ "$1" = configure ]; then
  for group in crypto-edge-keys crypto-edge-clients; do
    getent group "$group" >/dev/null || groupadd --system "$group"
  done
  chgrp crypto-edge-keys /etc/crypto-edge /etc/crypto-edge/edge.yaml
  chmod 0750 /etc/crypto-edge
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ -n "$2" ] && systemctl is-active --quiet crypto-edge.service; then upgrade; fi
  fi
fi
`;

/** Nothing is started: there are no certificates and no master key yet. */
const CORE_POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  # Not the name of the service's own user, which systemd could then not make.
  getent group crypto-edge-core-keys >/dev/null || groupadd --system crypto-edge-core-keys
  chgrp crypto-edge-core-keys /etc/crypto-edge-core /etc/crypto-edge-core/core.yaml
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
  systemctl stop 'crypto-edge@*.service' crypto-edge-handover.service || true
fi
`;

const POSTRM = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;

function foldersOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

function md5(path: string): string {
  return createHash("md5").update(readFileSync(path)).digest("hex");
}
