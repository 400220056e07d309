/**
 * A secret that the configuration gives as `file:PATH`. It follows its file: the section's property gives the text that the file had when
 * it was last good, so whoever reads the property at each use has the new one without a restart.
 */
import { followFiles } from "../pki/follow-files.ts";
import { type FilesState, stateOfFiles } from "../pki/watch-files.ts";
import { readFileLine } from "../read-file.ts";
import { type ConfigurationPath, showPath } from "./configuration-error.ts";

export class FileSecret {
  /** Its place in the configuration. */
  readonly path: ConfigurationPath;
  readonly file: string;
  /** As the file was before it was read first. */
  readonly since: FilesState;
  #text: string;

  /** @throws Error with a sentence, never with anything of the file */
  constructor(path: ConfigurationPath, file: string) {
    this.path = path;
    this.file = file;
    this.since = stateOfFiles([file]);
    this.#text = this.read();
  }

  get text(): string {
    return this.#text;
  }

  /** What the file has now. @throws Error, likewise */
  read(): string {
    const text = readFileLine(this.file, "the secret's file");
    if (text === "") throw new Error(`the secret's file ${this.file} is empty: write the secret into it`);
    return text;
  }

  use(text: string): void {
    this.#text = text;
  }
}

type SecretGetter = (() => string) & { readonly file?: string };

/** Gives `section` the property `key`, which has the secret's text of the time. */
export function placeSecret(section: object, key: string | number, secret: FileSecret): void {
  const get: SecretGetter = Object.assign(() => secret.text, { file: secret.file });
  Object.defineProperty(section, key, { get, enumerable: true, configurable: true });
}

/** The file that a property's secret follows; undefined for any other property. */
export function fileOfSecret(section: object, key: string | number): string | undefined {
  return (Object.getOwnPropertyDescriptor(section, key)?.get as SecretGetter | undefined)?.file;
}

type Surroundings = Pick<Parameters<typeof followFiles>[0], "clock" | "log">;

export interface FollowedSecrets {
  /** Reads all of them now. Rejects, leaving those that are no good as they were. */
  reload(): Promise<void>;
  close(): void;
}

/** Takes secrets up whenever their files change. A file that can't be read, or is empty, leaves the old one in use, and the log says why. */
export function followSecrets(secrets: readonly FileSecret[], { clock, log }: Surroundings): FollowedSecrets {
  const all = secrets.map((secret) =>
    followFiles({
      role: `the secret ${showPath(secret.path)}`,
      files: [secret.file],
      since: secret.since,
      clock,
      log,
      read: () => secret.read(),
      use: (text) => secret.use(text),
    }),
  );
  return {
    async reload() {
      const ended = await Promise.allSettled(all.map((one) => one.reload()));
      const failed = ended.find((one) => one.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    },
    close() {
      for (const one of all) one.close();
    },
  };
}
