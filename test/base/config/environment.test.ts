import { expect, test } from "bun:test";
import { parseConfiguration } from "../../../src/edge/config/load.ts";

/** What Kubernetes sets in every pod where a Service is called `crypto-edge`, and another `crypto-edge-core`. */
const OF_KUBERNETES = {
  CRYPTO_EDGE_SERVICE_HOST: "10.96.0.12",
  CRYPTO_EDGE_SERVICE_PORT: "7402",
  CRYPTO_EDGE_SERVICE_PORT_HTTP: "7402",
  CRYPTO_EDGE_PORT: "tcp://10.96.0.12:7402",
  CRYPTO_EDGE_PORT_7402_TCP: "tcp://10.96.0.12:7402",
  CRYPTO_EDGE_PORT_7402_TCP_PROTO: "tcp",
  CRYPTO_EDGE_PORT_7402_TCP_PORT: "7402",
  CRYPTO_EDGE_PORT_7402_TCP_ADDR: "10.96.0.12",
  CRYPTO_EDGE_CORE_SERVICE_HOST: "10.96.0.13",
  CRYPTO_EDGE_CORE_PORT: "tcp://10.96.0.13:8443",
};

const TEXT = `edge: { id: edge-test }
key_source: { use: core, core: { url: "https://core.example:8443", ca: ca.pem, cert: edge.pem, key: edge.key } }
listeners: [{ http: "127.0.0.1:7402", principal: local }]
policies: []
`;

test("the variables of Kubernetes's Services configure nothing, stop no start, and are named once", () => {
  const source = parseConfiguration(TEXT, "/etc/crypto-edge/edge.yaml", OF_KUBERNETES);
  expect(source.check().edge.id).toBe("edge-test");
  expect(source.notes).toHaveLength(1);
  for (const variable of Object.keys(OF_KUBERNETES)) expect(source.notes[0]).toContain(variable);
});

test("every other unknown variable is a mistake still, and one of ours counts beside them", () => {
  const environment = { ...OF_KUBERNETES, CRYPTO_EDGE_EDGE_ID: "edge-7" };
  expect(parseConfiguration(TEXT, "/etc/edge.yaml", environment).check().edge.id).toBe("edge-7");
  for (const [variable, value] of [
    ["CRYPTO_EDGE_WORKER", "2"],
    ["CRYPTO_EDGE_PORT", "7402"],
    ["CRYPTO_EDGE_SERVICE", "x"],
  ] as const) {
    const source = parseConfiguration(TEXT, "/etc/edge.yaml", { ...OF_KUBERNETES, [variable]: value });
    expect(() => source.check()).toThrow(`unknown variable ${variable}`);
  }
});

test("commands' own variables are none of a configuration", () => {
  const source = parseConfiguration(TEXT, "/etc/edge.yaml", { CRYPTO_EDGE_URL: "x", CRYPTO_EDGE_CONTEXT: "dev" });
  expect(source.check().edge.id).toBe("edge-test");
  expect(source.notes).toEqual([]);
});
