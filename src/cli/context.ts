/**
 * Where commands find their edge and their Core, and what they show them: contexts, as other tools have them. A file of a user's own names any
 * number; one is current, and `--context NAME` or CRYPTO_EDGE_CONTEXT chooses another. Options on the command line go before it.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { type Command, Option } from "commander";
import { messageOf } from "../base/errors.ts";
import { readFileLine, readFileText } from "../base/read-file.ts";
import type { ClientOptions } from "../sdk/client/client.ts";

/** How one server is reached. Paths are absolute. */
export interface Access {
  readonly url: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** A file that holds a bearer token. */
  readonly token?: string;
}

export interface Context {
  readonly edge?: Access;
  readonly core?: Access;
  /** Taken by commands that are given none. */
  readonly tenant?: string;
  readonly service?: string;
}

export interface Contexts {
  readonly current?: string;
  readonly contexts: Readonly<Record<string, Context>>;
}

const DEFAULT_EDGE = "http://127.0.0.1:7402";

export function contextsFile(environment: NodeJS.ProcessEnv = process.env): string {
  return join(environment.XDG_CONFIG_HOME || join(homedir(), ".config"), "crypto-edge", "contexts.json");
}

/** @throws Error for a file that is there and can't be read */
export function readContexts(file = contextsFile()): Contexts {
  if (!existsSync(file)) return { contexts: {} };
  try {
    const { current, contexts } = JSON.parse(readFileSync(file, "utf8")) as Contexts;
    return { ...(current === undefined ? {} : { current }), contexts: contexts ?? {} };
  } catch (error) {
    throw new Error(`the contexts in ${file} can't be read (${messageOf(error)}): correct the file, or remove it`);
  }
}

/** Whole or not at all, for this user alone. */
export function writeContexts(contexts: Contexts, file = contextsFile()): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, file);
}

/** The context that the command line, the environment or the file chooses; empty where there is none. @throws Error for a name that is none */
export function chosenContext(name: string | undefined): Context {
  const { current, contexts } = readContexts();
  const chosen = name ?? (process.env.CRYPTO_EDGE_CONTEXT || undefined) ?? current;
  if (chosen === undefined) return {};
  const context = Object.hasOwn(contexts, chosen) ? contexts[chosen] : undefined;
  if (context !== undefined) return context;
  const names = Object.keys(contexts);
  throw new Error(
    `there is no context "${chosen}"${names.length === 0 ? "" : `; there is ${names.join(", ")}`}: see \`crypto-edge context list\``,
  );
}

export interface EdgeOptions {
  readonly edge?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly context?: string;
}

/** The options of every command that calls an edge. */
export function callingEdge(command: Command): Command {
  return command
    .addOption(
      new Option("-e, --edge <url>", "the edge: http://…, https://… or unix:PATH (default: the context's)").env(
        "CRYPTO_EDGE_URL",
      ),
    )
    .option("--ca <file>", "the authority of the edge's certificate (PEM)")
    .option("--cert <file>", "your client certificate (PEM)")
    .option("--key <file>", "its private key (PEM)")
    .option("--token <file>", "a file that holds a bearer token")
    .option("--context <name>", "the context to take the rest from (CRYPTO_EDGE_CONTEXT)");
}

/** Which edge is called, and with what. */
export function edgeAccess(options: EdgeOptions): Access {
  const { edge } = chosenContext(options.context);
  const { ca, cert, key, token } = options;
  // A context's certificates are for its own edge, and for no other that a flag names.
  const rest = options.edge === undefined || options.edge === edge?.url ? edge : undefined;
  const given = Object.fromEntries(Object.entries({ ca, cert, key, token }).filter(([, value]) => value !== undefined));
  return { ...rest, ...given, url: options.edge ?? edge?.url ?? DEFAULT_EDGE };
}

/** What `createClient` takes. Files are read again when they change hands: tokens and certificates are renewed. */
export function clientOptions({ url, ca, cert, key, token }: Access): ClientOptions {
  if ((cert === undefined) !== (key === undefined)) throw new Error("give --cert and --key together");
  const hasTls = ca !== undefined || cert !== undefined;
  return {
    url,
    ...(token === undefined ? {} : { token: () => readFileLine(token, "the token's file") }),
    ...(hasTls
      ? {
          tls: () => ({
            ...(ca === undefined ? {} : { ca: readFileText(ca, "the CA certificate") }),
            ...(cert === undefined || key === undefined
              ? {}
              : { cert: readFileText(cert, "the client certificate"), key: readFileText(key, "its private key") }),
          }),
        }
      : {}),
  };
}

export interface NamedOptions {
  readonly context?: string;
  readonly tenant?: string;
  readonly service?: string;
}

/** Tenant and service that are given, or the context's. @throws Error that says how to give them */
export function namesFrom(options: NamedOptions): { tenant: string; service: string } {
  const context = chosenContext(options.context);
  const tenant = options.tenant ?? context.tenant;
  if (tenant === undefined) {
    throw new Error("name the tenant with --tenant: whose data this is, as the policies and the Core call it");
  }
  return { tenant, service: options.service ?? context.service ?? "default" };
}
