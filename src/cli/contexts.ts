/** `crypto-edge context …`: the edges and Cores that commands talk to, by name. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { type Access, type Context, type Contexts, contextsFile, readContexts, writeContexts } from "./context.ts";
import { print } from "./print.ts";

interface SetOptions {
  readonly edge?: string;
  readonly edgeCa?: string;
  readonly edgeCert?: string;
  readonly edgeKey?: string;
  readonly edgeToken?: string;
  readonly core?: string;
  readonly coreCa?: string;
  readonly coreCert?: string;
  readonly coreKey?: string;
  readonly tenant?: string;
  readonly service?: string;
}

export function registerContexts(program: Command): void {
  const context = program
    .command("context")
    .description("the edges and Cores that commands talk to, by name")
    .addHelpText(
      "after",
      `
Examples:
  crypto-edge context set prod --edge unix:/run/crypto-edge/billing.sock --tenant tenant-a --service billing
  crypto-edge context use prod
  crypto-edge --help                          # then no command needs --edge, --tenant …`,
    );

  context
    .command("list")
    .description("every context; the current one has a star")
    .option("--json", "as JSON")
    .action((options: { json?: boolean }) => {
      const all = readContexts();
      if (options.json === true) return print(JSON.stringify(all));
      for (const line of contextLines(all)) print(line);
    });

  context
    .command("use")
    .argument("<name>")
    .description("make a context the current one")
    .action((name: string) => {
      const all = readContexts();
      if (!Object.hasOwn(all.contexts, name))
        throw new Error(`there is no context "${name}": see \`crypto-edge context list\``);
      writeContexts({ ...all, current: name });
    });

  context
    .command("set")
    .argument("<name>")
    .description("make or change a context; the first becomes the current one")
    .option("--edge <url>", "the edge: http://…, https://… or unix:PATH")
    .option("--edge-ca <file>", "the authority of its certificate")
    .option("--edge-cert <file>", "your client certificate for it")
    .option("--edge-key <file>", "that certificate's private key")
    .option("--edge-token <file>", "a file that holds a bearer token for it")
    .option("--core <url>", "the Core, for its administrators")
    .option("--core-ca <file>", "the authority of the Core's certificate")
    .option("--core-cert <file>", "the administrator's certificate")
    .option("--core-key <file>", "that certificate's private key")
    .option("--tenant <name>", "the tenant that commands take when they are given none")
    .option("--service <name>", "likewise the service")
    .action((name: string, options: SetOptions) => {
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
        throw new Error(`"${name}" is no name of a context: letters, digits and . _ -`);
      const all = readContexts();
      const contexts = { ...all.contexts, [name]: contextOf(options, all.contexts[name]) };
      writeContexts({ current: all.current ?? name, contexts });
    });

  context
    .command("remove")
    .argument("<name>")
    .description("forget a context")
    .action((name: string) => writeContexts(without(readContexts(), name)));

  context
    .command("path")
    .description("the file that they are in")
    .action(() => print(contextsFile()));
}

/** The contexts but one. */
export function without({ current, contexts }: Contexts, name: string): Contexts {
  const { [name]: _, ...rest } = contexts;
  return { ...(current === undefined || current === name ? {} : { current }), contexts: rest };
}

function contextOf(options: SetOptions, before: Context = {}): Context {
  const edge = access(before.edge, options.edge, options.edgeCa, options.edgeCert, options.edgeKey, options.edgeToken);
  const core = access(before.core, options.core, options.coreCa, options.coreCert, options.coreKey);
  const { tenant = before.tenant, service = before.service } = options;
  return {
    ...(edge === undefined ? {} : { edge }),
    ...(core === undefined ? {} : { core }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(service === undefined ? {} : { service }),
  };
}

function access(
  before: Access | undefined,
  url: string | undefined,
  ...files: readonly (string | undefined)[]
): Access | undefined {
  const given = (["ca", "cert", "key", "token"] as const).flatMap((name, index) => {
    const file = files[index];
    return file === undefined ? [] : [[name, resolve(file)]];
  });
  const address = url ?? before?.url;
  if (address === undefined) {
    if (given.length > 0) throw new Error("files are for an address: give --edge or --core too");
    return undefined;
  }
  // Another address gets nothing that was for the old one.
  return { ...(url === undefined || url === before?.url ? before : {}), ...Object.fromEntries(given), url: address };
}

function contextLines({ current, contexts }: Contexts): string[] {
  const names = Object.keys(contexts);
  if (names.length === 0) return ["no context yet: crypto-edge context set NAME --edge URL"];
  return names.map((name) => {
    const { edge, core, tenant, service } = contexts[name]!;
    const parts = [
      edge && `edge ${edge.url}`,
      core && `Core ${core.url}`,
      tenant && `${tenant}/${service ?? "default"}`,
    ];
    return `${name === current ? "*" : " "} ${name}  ${parts.filter((part) => part !== undefined).join("  ")}`;
  });
}
