/** examples/java by the AWS KMS door: the AWS SDK for Java, unchanged, against a real edge. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../support/pages.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../support/static-edge.ts";
import { runBeside } from "./support/npm-folder.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-java-"));
let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge(
    staticConfiguration().replace("principal: local }", "principal: local, doors: [native, aws-kms] }"),
  );
  cpSync(join(ROOT, "examples/java"), folder, { recursive: true });
});
afterAll(async () => {
  await edge?.close();
  rmSync(folder, { recursive: true });
});

test("a value is sealed and opened in its place alone", async () => {
  const env = {
    AWS_ENDPOINT_URL_KMS: edge.url,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "any",
  };
  const maven = ["mvn", "-q", "-B", "-ntp"];
  await runBeside(
    [...maven, "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath"],
    folder,
    env,
    500_000,
  );
  const said = await runBeside(["sh", "-c", 'exec java -cp "target/classes:$(cat classpath)" Records'], folder, env);
  expect(said).toContain("invoice 4711\nanother row: refused\n");
}, 600_000);
