/** `crypto-edge plugin new`: a small plugin that works and passes its own tests at once. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { auditSinkTemplate } from "./audit-sink.ts";
import { cipherTemplate } from "./cipher.ts";
import { doorTemplate } from "./door.ts";
import { hookTemplate } from "./hook.ts";
import { keySourceTemplate } from "./key-source.ts";
import { revocationTransportTemplate } from "./revocation-transport.ts";
import { commonFiles, type Template } from "./shared.ts";

export type TemplateKind = "key-source" | "revocation-transport" | "audit-sink" | "cipher" | "hook" | "door";

const TEMPLATES: Readonly<Record<TemplateKind, (name: string) => Template>> = {
  "key-source": keySourceTemplate,
  "revocation-transport": revocationTransportTemplate,
  "audit-sink": auditSinkTemplate,
  cipher: cipherTemplate,
  hook: hookTemplate,
  door: doorTemplate,
};

/** Writes the files and returns their names. @throws when the name is none, or the folder is there. */
export function writeTemplate(name: string, kind: TemplateKind, dir = name): { folder: string; files: string[] } {
  if (!/^[a-z][a-z0-9-]{0,40}$/.test(name)) {
    throw new Error(`"${name}" can't be a plugin's name: lower-case letters, digits and "-", a letter first.`);
  }
  const folder = resolve(dir);
  if (existsSync(folder)) throw new Error(`${folder} is there already. Choose another folder with --dir.`);
  const template = TEMPLATES[kind](name);
  const files = { ...commonFiles(name, kind, template), ...template.files };
  mkdirSync(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    // Whatever the umask: a plugin that its group could write would be refused.
    chmodSync(path, typeof content === "string" ? 0o644 : 0o600);
    for (let parent = dirname(path); parent.startsWith(folder); parent = dirname(parent)) chmodSync(parent, 0o755);
  }
  return { folder: dir, files: Object.keys(files) };
}
