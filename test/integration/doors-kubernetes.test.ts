/** kube-apiserver's own code for encryption at rest, at the front door of an edge whose key is leased from a real Core. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { start } from "../e2e/support/binary.ts";
import { until } from "../support/until.ts";
import { goPrograms, goVersion, runClient } from "./support/door-clients.ts";
import { DoorDeployment } from "./support/door-deployment.ts";
import { DoorTable } from "./support/door-table.ts";

const table = new DoorTable("kubernetes");
const KUBE = "kube-apiserver's encryption at rest (k8s.io/apiserver)";
const kubeVersion = (): string => goVersion("kubernetes", "k8s.io/apiserver");
const grpcVersion = (): string => goVersion("kubernetes", "google.golang.org/grpc");

let world: DoorDeployment;
let programs: string;
let socket: string;
const listeners = `  - { http: "127.0.0.1:0", principal: local }
  - { unix: kms.sock, mode: "0600", principal: kube-apiserver, doors: [kubernetes-kms] }`;

beforeAll(async () => {
  [programs, world] = await Promise.all([
    goPrograms("kubernetes", ["./apiserver", "./storm"]),
    DoorDeployment.start(["cluster-1/etcd", "tenant-a/billing"]),
  ]);
  await world.startEdge("edge", listeners);
  socket = `unix://${world.file("kms.sock")}`;
}, 900_000);
afterAll(() => world[Symbol.asyncDispose]());

async function expectOk(...command: string[]): Promise<string> {
  const { code, output } = await runClient(
    [`${programs}/${command[0]}`, ...command.slice(1)],
    {},
    { timeoutMs: 170_000 },
  );
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${output}`);
  return output;
}

table.row(
  KUBE,
  kubeVersion,
  "seeds encrypted and opened by a second API server, key id, health; an altered seed is refused",
  async () => {
    const output = await expectOk("apiserver", socket);
    expect(output).toContain('keyID "cluster-1/etcd/1"');
    expect(output).toContain("OK");
  },
);

table.row(
  "grpc-go with the client of k8s.io/kms",
  grpcVersion,
  "a thousand calls at once, a thousand given up, 200 connections, a request of 3 MiB",
  async () => {
    const output = await expectOk("storm", socket);
    expect(output).toMatch(/1000 at once map\[OK:1000\]/);
    expect(output).toMatch(/200 after that map\[OK:200\]/);
    expect(output).toContain("3 MiB request: ResourceExhausted");
  },
);

table.row(
  KUBE,
  kubeVersion,
  "through a rotation: new writes have the new key id, old ones read as stale, without a restart",
  async () => {
    const client = start(["-until-stale=150s", socket], { command: `${programs}/apiserver`, cwd: world.folder });
    await client.waitFor(/OK/);
    world.core("rotate", "cluster-1", "etcd");
    await client.waitFor(/rotated: cluster-1\/etcd\/2/, 160_000);
    expect(await client.ended).toBe(0);
  },
);

table.row(
  KUBE,
  kubeVersion,
  "through a restart of the edge, killed: a stale socket is replaced, reads and writes go on",
  async () => {
    const { edge } = await world.startEdge("second", listeners.replace("kms.sock", "second.sock"));
    const stale = `unix://${world.file("second.sock")}`;
    await expectOk("apiserver", stale);
    await edge.stop("SIGKILL");
    await world.startEdge("second", listeners.replace("kms.sock", "second.sock"));
    await expectOk("apiserver", stale);
  },
);

table.row(
  KUBE,
  kubeVersion,
  "while two edges that share a socket are restarted in turn: no start and no call fails",
  async () => {
    const shared = listeners.replace('mode: "0600"', 'mode: "0600", shared: true').replace("kms.sock", "shared.sock");
    const [first, second] = [await world.startEdge("first", shared), await world.startEdge("second", shared)];
    const client = start(["-steady=10s", `unix://${world.file("shared.sock")}`], {
      command: `${programs}/apiserver`,
      cwd: world.folder,
    });
    await client.waitFor(/OK/);
    await second.edge.stop();
    await world.startEdge("second", shared);
    await first.edge.stop();
    await world.startEdge("first", shared);
    await client.waitFor(/starts: [1-9]/, 60_000);
    expect(await client.ended).toBe(0);
  },
);

table.row(
  KUBE,
  kubeVersion,
  "while the Core is away, reads, writes and a new start go on; after a revocation its health check fails",
  async () => {
    await world.stopCore();
    await expectOk("apiserver", socket);
    await world.startCore();
    world.core("revoke", "cluster-1", "etcd", "--reason", "test");
    // Once its stream is up again, the edge hears of it.
    const refused = await until(async () => {
      const { code, output } = await runClient([`${programs}/apiserver`, "-refused", socket], {});
      return code === 0 ? output : undefined;
    });
    expect(refused).toContain("FailedPrecondition");
  },
);

test("systemd takes the unit of deploy/kubernetes", async () => {
  const unit = resolve(import.meta.dir, "../../deploy/kubernetes/crypto-edge-kms@.service");
  const { output } = await runClient(["systemd-analyze", "verify", "--man=no", unit], {});
  // Neither the program nor the kubelet is on this machine.
  const expected = /crypto-edge is not executable|kubelet\.service/;
  expect(output.split("\n").filter((line) => line.includes("crypto-edge-kms") && !expected.test(line))).toEqual([]);
});

table.hold();
