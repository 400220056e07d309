import { expect, test } from "bun:test";
import { readCoreConfiguration } from "../../../src/core/core-configuration.ts";
import { signInOf } from "../../../src/core/load-core.ts";
import { makeTemporaryFile } from "../../support/temporary-file.ts";

const CORE = `listen: "127.0.0.1:8443"
database: ":memory:"
master_key: { environment: KEY }
tls: { cert: a.pem, key: a.key, client_ca: ca.pem }
console:
  oidc:
    client_id: console
`;

function consoleOf(...lines: string[]) {
  using file = makeTemporaryFile("core.yaml", `${CORE}${lines.map((line) => `    ${line}\n`).join("")}`);
  return readCoreConfiguration(file.path).check().console!;
}

test("the audience of a presented token is the client's name unless it is given; a session lasts an hour", () => {
  const withSecret = consoleOf("issuer: https://login.example.org", "client_secret: word", "administrators: [a]");
  expect([signInOf(withSecret)?.clientSecret].map((one) => (typeof one === "function" ? one() : one))).toEqual([
    "word",
  ]);
  const shortest = consoleOf("issuer: https://login.example.org", "administrators: [key-admins]");
  expect(signInOf(shortest)).toEqual({
    issuer: "https://login.example.org",
    ca: undefined,
    clientId: "console",
    clientSecret: undefined,
    audience: "console",
    url: undefined,
    scopes: ["profile"],
    rolesClaim: "groups",
    administrators: ["key-admins"],
    viewers: [],
    sessionMs: 3_600_000,
  });
});

test("an issuer that anybody could stand in for, and one that lets nobody in, are refused", () => {
  expect(() => consoleOf("issuer: http://login.example.org", "viewers: [auditors]")).toThrow(
    "must be an https address",
  );
  expect(() => consoleOf("issuer: https://login.example.org")).toThrow("lets nobody in");
  expect(() => consoleOf("issuer: https://login.example.org", "viewers: [a]", "url: http://console.example")).toThrow(
    "an address such as https://console.example.org",
  );
  expect(() => consoleOf("issuer: http://127.0.0.1:9000", "viewers: [auditors]")).not.toThrow();
});
