/** README.md and the pages of docs/: every command is run, every file is used as it is printed. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, readBlocks } from "../support/pages.ts";
import { BINARY, run, start, temporaryFolder } from "./support/binary.ts";
import { Deployment } from "./support/deployment.ts";
import { namedFiles } from "./support/named-files.ts";
import { walk } from "./support/walk.ts";

/** For a busy machine. */
setDefaultTimeout(300_000);

beforeAll(() => {
  // What the pages install: README's second command makes it.
  const { code, stderr } = run(["build.ts", "--package"], { command: process.execPath, cwd: ROOT });
  expect([code, stderr]).toEqual([0, ""]);
});

describe("README.md", () => {
  test("starts a Core and an edge by the one command that it begins with", async () => {
    expect(readBlocks("README.md")[0]!.text).toBe("npm start\n");
    // A session of its own, so that Ctrl-C reaches all of it, as a terminal's does.
    const dev = start(["npm", "start", "--silent", "--", "--port", "0"], { command: "setsid", cwd: ROOT });
    try {
      await dev.waitFor(/^ready /m, 60_000);
      expect(dev.output().match(/^ {2}curl /gm)).toHaveLength(2);
    } finally {
      process.kill(-dev.pid, "SIGINT");
      await dev.ended;
    }
  });

  test("leads to a Core, an edge, a data key, a sealed file and a revocation of one's own", async () => {
    const { printed } = await walk("README.md");
    expect(printed("config check")).toContain("edge.yaml: no mistakes");
    const made = JSON.parse(printed('"plaintext": true'));
    expect(JSON.parse(printed("WRAPPED=$("))).toEqual({
      plaintext: made.plaintext,
      tenant: "tenant-a",
      service: "billing",
      version: 1,
      cache_seconds: expect.any(Number),
    });
    expect(printed("node record.mjs")).toContain("invoice 4711");
    expect(printed("inspect")).toMatch(/sealed file, format \d/);
    expect(printed("core revoke")).toContain('"code":"key_revoked"');
  });
});

describe("docs/quick-start-developer.md", () => {
  test("leads to an application whose notes outlive a rotation and not a revocation", async () => {
    const { printed } = await walk("docs/quick-start-developer.md", { dev: true, env: { CRYPTO_CORE_URL: undefined } });
    expect(printed("write 1")).toStartWith("call the bank\n");
    expect(printed("write 1")).toMatch(/"1": "[A-Za-z0-9+/=]{100,}"/);
    expect(printed("core rotate")).toContain("call the bank\n1 notes are under the new key\n");
    expect(printed("core revoke")).toMatch(/the edge refuses: key_revoked\n[\s\S]*restored[\s\S]*\ncall the bank\n$/);
  });
});

describe("docs/quick-start-reviewer.md", () => {
  test("opens a wrapped key by another program, and sees a forged audit and a planted bug found", async () => {
    const { printed } = await walk("docs/quick-start-reviewer.md");
    expect(printed("node compare.mjs")).toBe(
      `the same data key: true\nin another context: { error: 'tag' }\nunder another key: { error: 'commitment' }\n`,
    );
    const explained = printed("access explain");
    expect(explained).toMatch(/^allowed: [\s\S]*denied: [\s\S]*exit code 1\n/);
    expect(explained).toContain('"code":"access_denied"');
    const verified = printed("audit verify");
    expect(verified).toMatch(/nothing is missing or altered\nproblem: [\s\S]*the audit was changed\nexit code 1\n$/);
    expect(printed("crypto-edge status")).toMatch(/key memory/);
    expect(printed("off by one")).toMatch(/20 histories from seed 1: \d+ with a violation/);
  });
});

describe("docs/api.md", () => {
  test("makes, opens and rewraps, one by one, in batches, as bytes, and from TypeScript", async () => {
    const { printed } = await walk("docs/api.md", { dev: true });
    const made = JSON.parse(printed("tee created.json"));
    expect(JSON.parse(printed("keys/decrypt -H 'content-type: application/json' \\\n"))).toMatchObject({
      plaintext: made.plaintext,
      tenant: "tenant-a",
      service: "billing",
    });
    expect(JSON.parse(printed("keys/rewrap"))).toEqual({
      wrapped: expect.any(String),
      tenant: "tenant-a",
      service: "billing",
      version: 1,
      was_active: true,
    });
    expect(printed("values/decrypt -H")).toContain('"value":"aGVsbG8"');
    const [keys, results] = printed("create-batch -H 'content-type: application/json'")
      .split(/(?<=\})(?=\{)/)
      .map((answer) => JSON.parse(answer));
    expect(keys.keys).toHaveLength(3);
    expect(results.results).toEqual([
      expect.objectContaining({ plaintext: made.plaintext }),
      { error: expect.objectContaining({ code: "invalid_blob" }) },
    ]);
    // Two keys, version 1, and a blob of 133 bytes first.
    expect(printed("batch.bin")).toMatch(/^0000000 00 00 00 02 00 00 00 01 00 85 4c 34 /);
    expect(printed("bun client.ts")).toContain("the same key: true\nunder version 1\n100 opened; invalid_blob\n");
    const refused = printed("order-17");
    expect(refused).toMatch(/^x-request-id: order-17/im);
    expect(refused).toContain('"request_id":"order-17"');
  });
});

describe("docs/errors.md", () => {
  test("shows how to handle them", async () => {
    const { printed } = await walk("docs/errors.md", { dev: true });
    expect(printed("bun errors.ts")).toContain("opened: true\nanother context: decryption_failed\ncut: invalid_blob\n");
  });
});

describe("docs/client.md", () => {
  test("makes and opens keys, and more in a list than one request takes", async () => {
    const { printed } = await walk("docs/client.md", { dev: true });
    expect(printed("bun client.ts")).toContain("the same key: true");
    expect(printed("bun client.ts")).toContain("0 of 12000 refused");
  });
});

describe("docs/records.md", () => {
  test("seals a value into its place, lists, and puts a table under the active version", async () => {
    const { printed } = await walk("docs/records.md", { dev: true });
    expect(printed("bun records.ts")).toContain(
      "DE02 1203 0000 0000 2020 51\nunder version 1\nin another row: decryption_failed\none,two\n",
    );
    expect(printed("bun rewrap.ts")).toContain(
      "2 rows: 0 changed, 2 not, 0 failed\n3 rows: 0 changed, 1 not, 0 failed\n",
    );
  });
});

describe("docs/sealed-file.md", () => {
  test("seals a file and opens it", async () => {
    const { printed } = await walk("docs/sealed-file.md", {
      dev: true,
      files: { "report.txt": "a report\n".repeat(20_000) },
    });
    expect(printed("inspect")).toContain("data key      32 bytes");
  });
});

describe("docs/blob-format.md", () => {
  test("shows a blob that says of itself what the page says", async () => {
    const { printed } = await walk("docs/blob-format.md");
    expect(printed("inspect")).toMatch(/tenant +tenant-a\nservice +billing\nkey version +1\ndata key +32 bytes/);
  });
});

describe("docs/configuration.md", () => {
  test("shows a configuration without mistakes, and what asks about it", async () => {
    const { printed } = await walk("docs/configuration.md", { files: await namedFiles() });
    expect(printed("config check")).toMatch(/no mistakes\nallowed: /);
  });
});

describe("docs/troubleshooting.md", () => {
  test("asks an edge, its configuration and its policies in turn", async () => {
    const { printed } = await walk("docs/troubleshooting.md", {
      dev: true,
      files: { ...(await namedFiles()), "edge.yaml": readBlocks("docs/configuration.md")[0]!.text },
    });
    expect(printed("/readyz")).toContain('"ready":true');
    expect(printed("/readyz")).toMatch(/ready +yes/);
    expect(printed("/readyz")).toMatch(/no mistakes\nallowed: /);
  });
});

describe("docs/security.md", () => {
  test("shows listeners and policies without mistakes, and which rule decides", async () => {
    using folder = temporaryFolder();
    for (const [name, text] of Object.entries(await namedFiles())) {
      writeFileSync(folder.file(name), text, { mode: 0o600 });
    }
    const blocks = readBlocks("docs/security.md");
    const shown = blocks.find(({ language }) => language === "yaml")!.text.replace("/run/crypto-edge", folder.path);
    writeFileSync(
      folder.file("edge.yaml"),
      `edge: { id: edge-1 }
key_source: { core: { url: "https://core.example", ca: ca.pem, cert: edge.pem, key: edge.key } }\n${shown}`,
    );
    const commands = blocks
      .find(({ language }) => language === "sh")!
      .text.trim()
      .split("\n");
    const [check, explain] = commands.map((command) =>
      run(["-c", `${BINARY} ${command.replace("crypto-edge ", "")}`], { command: "sh", cwd: folder.path }),
    );
    expect(check).toEqual({ code: 0, stdout: "edge.yaml: no mistakes\n", stderr: "" });
    expect(explain!.stdout).toMatch(/^denied: policies\[\d\]/);
    expect(explain!.code).toBe(1);
  });
});

describe("docs/certificates.md", () => {
  test("shows certificates that are made, and renewed when their time comes", async () => {
    const { printed } = await walk("docs/certificates.md");
    expect(printed("pki renew")).toMatch(/pki\/edge-1\.pem +good until \S+: not renewed yet/);
  });
});

describe("docs/door-kes.md", () => {
  test("shows how to print the identity of an API key", async () => {
    // The seed of RFC 8032, section 7.1, TEST 1, as a KES API key: a byte for its kind, then the seed.
    const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex");
    const apiKey = `kes:v1:${Buffer.concat([Buffer.of(0), seed]).toString("base64")}`;
    const { printed } = await walk("docs/door-kes.md", { env: { KEY: apiKey } });
    const [, identity] = /^([0-9a-f]{64}) /m.exec(printed("openssl pkey"))!;
    const publicKey = "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    expect(identity).toBe(createHash("sha256").update(Buffer.from(publicKey, "hex")).digest("hex"));
  });
});

describe("docs/orbital.md", () => {
  test("makes a key to sign answers with, and its JWK set", async () => {
    const { printed } = await walk("docs/orbital.md", { after: "cat edge-1-jwks.json" });
    const { keys } = JSON.parse(printed("cat edge-1-jwks.json"));
    const certificate = new X509Certificate(Buffer.from(keys[0].x5c[0], "base64"));
    expect(certificate.subject).toBe("CN=edge-1");
    expect(certificate.publicKey.asymmetricKeyDetails!.modulusLength).toBe(3072);
  });
});

describe("docs/revocation.md", () => {
  test("begins with a revocation that a Core takes", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    for (let version = 2; version <= 3; version++) deployment.admin("rotate", "tenant-a", "billing");
    const [command] = readBlocks("docs/revocation.md").filter(({ language }) => language === "sh");
    const { code, stdout, stderr } = run(["-c", `${BINARY} ${command!.text.replace("crypto-edge ", "")}`], {
      command: "sh",
      cwd: deployment.folder,
      env: { ...process.env, CRYPTO_CORE_URL: `https://127.0.0.1:${deployment.corePort}` },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("tenant-a/billing version 3 is compromised");
  });
});

test("every page with commands is run, by this file or by the one that is named here; what is not run says why", () => {
  const here = readFileSync(import.meta.path, "utf8");
  const elsewhere: Record<string, string> = {
    "docs/console.md": "test/integration/console.test.ts",
    "docs/core.md": "test/cli/core.test.ts",
    "docs/door-kes.md": "test/docs/door-pages.test.ts",
    "docs/operations.md": "test/e2e/operations-docs.test.ts",
    "docs/plugins.md": "test/e2e/plugins-docs.test.ts",
    "docs/resilience.md": "test/simulation/command.test.ts",
    "plugins/aws-kms/README.md": "test/e2e/plugins.test.ts",
    "plugins/openbao/README.md": "test/e2e/plugins.test.ts",
    "plugins/pkcs11/README.md": "test/integration/pkcs11.test.ts",
    "CONTRIBUTING.md": ".ci/run",
  };
  const pages = [
    "README.md",
    "CONTRIBUTING.md",
    ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`),
    ...readdirSync(join(ROOT, "plugins")).map((name) => `plugins/${name}/README.md`),
  ];
  const reasons: string[] = [];
  const notRun: string[] = [];
  for (const page of pages) {
    if (!page.endsWith(".md") || !existsSync(join(ROOT, page))) continue;
    const blocks = readBlocks(page).filter(({ language }) => language === "sh");
    for (const { notRun: reason } of blocks) if (reason !== undefined) reasons.push(reason);
    const run = blocks.filter((block) => block.notRun === undefined);
    if (run.length === 0 || here.includes(`("${page}"`) || elsewhere[page] !== undefined) continue;
    notRun.push(page);
  }
  expect(notRun).toEqual([]);
  for (const file of Object.values(elsewhere)) expect(existsSync(join(ROOT, file))).toBe(true);
  for (const reason of reasons) expect(reason.length).toBeGreaterThan(10);
});
