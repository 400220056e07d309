/** What the package brings from the checkout as it is: plugins and examples, without their tests' data and what was installed for them. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** Where an installed package has the plugins. */
export const PLUGINS = "/usr/share/crypto-edge/plugins";

type Files = Record<string, { readonly from: string } | { readonly content: string }>;

/** `check.yaml` holds keys for `plugin check`; dependencies are installed where the plugin is used. */
const LEFT_OUT = /(^|\/)(node_modules|test)\/|(^|\/)(check(-away)?\.yaml|package-lock\.json)$/;

export function pluginFiles(root: string): Files {
  return filesUnder(join(root, "plugins"));
}

/** Configurations and applications; what drives them in tests stays behind. */
export function exampleFiles(root: string): Files {
  const { "core.yaml": _, ...files } = filesUnder(join(root, "examples"));
  const kept = Object.entries(files).filter(([path]) => !/^journey\/drive\.|\/target\//.test(path));
  const configuration = readFileSync(join(root, "examples/static.yaml"), "utf8");
  return {
    ...Object.fromEntries(kept),
    "static.yaml": { content: configuration.replace("../plugins/static", `${PLUGINS}/static`) },
  };
}

/** Which plugins run as they are, and which need packages from npm first. Made of their package.json. */
export function pluginsReadme(root: string): string {
  const rows = readdirSync(join(root, "plugins"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => {
      const text = readFileSync(join(root, "plugins", name, "package.json"), "utf8");
      const { description, dependencies = {} } = JSON.parse(text) as {
        description: string;
        dependencies?: Record<string, string>;
      };
      const needs = Object.entries(dependencies).map(([dependency, version]) => `\`${dependency}\` ${version}`);
      return `| ${name} | ${description} | ${needs.length === 0 ? "nothing" : needs.join(", ")} |`;
    })
    .toSorted();
  return `# The plugins that come with crypto-edge

| plugin | what it brings | needs from npm |
| --- | --- | --- |
${rows.join("\n")}

One that needs nothing is used from here: \`plugins: [${PLUGINS}/openbao]\` in the configuration.

One that needs packages does not load from here, since the package manager owns this folder. Copy it to a place of your own as root, and install them
there with npm; do so again after an upgrade:

    install -d /usr/local/lib/crypto-edge
    cp -r ${PLUGINS}/nats /usr/local/lib/crypto-edge/
    cd /usr/local/lib/crypto-edge/nats && npm install --omit=dev
    chmod -R go-w .

and name it as \`plugins: [/usr/local/lib/crypto-edge/nats]\`. Every file must stay unwritable for all but root: the edge refuses a plugin that somebody
else could change. Each plugin's own README.md says what else it wants (pkcs11 builds a native addon).
`;
}

function filesUnder(folder: string): Files {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const named = files.map((from): [string, { readonly from: string }] => [relative(folder, from), { from }]);
  return Object.fromEntries(named.filter(([path]) => !LEFT_OUT.test(path)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
