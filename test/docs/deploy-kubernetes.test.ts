/** deploy/kubernetes: what an operator copies to a control-plane node fits together, and each file is one that its reader takes. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { IMAGE_NAME } from "../../scripts/oci-image.ts";
import { VERSION } from "../../src/base/version.ts";
import { parseConfiguration } from "../../src/edge/config/load.ts";
import { ROOT } from "../support/pages.ts";

const read = (name: string): string => readFileSync(join(ROOT, "deploy/kubernetes", name), "utf8");
const SOCKET = "/run/crypto-edge-kms/kms.sock";
const CONFIGURATION = "/etc/crypto-edge-kms/kms.yaml";

test("the edge's configuration has no mistakes, and serves the socket that the API server calls", () => {
  const { listeners, doors, policies, cache } = parseConfiguration(
    read("kms.yaml"),
    CONFIGURATION,
  ).check() as unknown as {
    listeners: { unix: string; mode: string; shared: boolean; principal: string; doors: string[] }[];
    doors: { "kubernetes-kms": { tenant: string; service: string } };
    policies: { principals: string[]; tenants: string[]; services: string[]; operations: string[] }[];
    cache: { prewarm: object[] };
  };
  expect(listeners).toMatchObject([{ unix: SOCKET, mode: "0600", shared: true, doors: ["kubernetes-kms"] }]);
  const { tenant, service } = doors["kubernetes-kms"];
  expect(policies).toMatchObject([{ principals: [listeners[0]!.principal], tenants: [tenant], services: [service] }]);
  expect(policies[0]!.operations.sort()).toEqual(["decrypt", "encrypt"]);
  expect(cache.prewarm).toEqual([{ tenant, service }]);
  const { resources } = parse(read("encryption.yaml")) as { resources: { providers: { kms?: object }[] }[] };
  expect(resources[0]!.providers[0]!.kms).toMatchObject({ apiVersion: "v2", endpoint: `unix://${SOCKET}` });
});

test("the systemd unit comes before the kubelet, and keeps the folder of a socket that another instance serves", () => {
  const unit = read("crypto-edge-kms@.service");
  for (const line of [
    "Before=kubelet.service",
    "RequiredBy=kubelet.service",
    "RuntimeDirectoryPreserve=yes",
    "Type=notify",
    "Restart=always",
    "CapabilityBoundingSet=",
  ]) {
    expect(unit.split("\n")).toContain(line);
  }
  expect(unit).toContain(`serve --config ${CONFIGURATION}`);
});

test("the static pod mounts the folders of socket and configuration, and is evicted by nothing", () => {
  const pod = parse(read("static-pod.yaml")) as {
    kind: string;
    spec: {
      priorityClassName: string;
      hostNetwork: boolean;
      containers: { args: string[]; volumeMounts: { name: string; mountPath: string }[]; securityContext: object }[];
      volumes: { name: string; hostPath: { path: string } }[];
    };
  };
  expect([pod.kind, pod.spec.priorityClassName, pod.spec.hostNetwork]).toEqual(["Pod", "system-node-critical", true]);
  const [edge] = pod.spec.containers;
  expect(edge!.args).toEqual(["serve", "--config", CONFIGURATION]);
  for (const { name, mountPath } of edge!.volumeMounts) {
    expect(pod.spec.volumes.find((volume) => volume.name === name)?.hostPath.path).toBe(mountPath);
  }
  expect(edge!.volumeMounts.map(({ mountPath }) => mountPath).sort()).toEqual([
    "/etc/crypto-edge-kms",
    "/run/crypto-edge-kms",
  ]);
});

test("every manifest and the chart name the image of this version, by the name that the release gives it", () => {
  const images = readdirSync(join(ROOT, "deploy/kubernetes"))
    .filter((name) => name.endsWith(".yaml"))
    .flatMap((name) => [...read(name).matchAll(/\bimage: (\S+)/g)].map(([, image]) => [name, image!] as const))
    .filter(([, image]) => /(^|\/)crypto-edge[:@]/.test(image));
  expect([...new Set(images.map(([name]) => name))].sort()).toEqual([
    "core-and-edges.yaml",
    "sidecar.yaml",
    "static-pod.yaml",
  ]);
  for (const [name, image] of images) expect([name, image]).toEqual([name, IMAGE_NAME]);
  const chart = parse(readFileSync(join(ROOT, "deploy/helm/crypto-edge/Chart.yaml"), "utf8")) as object;
  expect(chart).toMatchObject({ version: VERSION, appVersion: VERSION });
});
