/**
 * KMIP: what a request costs the edge on a connection of its own, as most clients make it, with an ECDSA and an RSA certificate and with a
 * session ticket; and on a connection that is kept.
 */
import "reflect-metadata";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import * as x509 from "@peculiar/x509";
import { createThrowAwayPki } from "../src/base/pki/throw-away.ts";
import { OPERATION, TAG } from "../src/edge/doors/kmip/enumerations.ts";
import { decodeItem, type Item, textOf } from "../src/edge/doors/kmip/ttlv.ts";
import { TtlvWriter } from "../src/edge/doors/kmip/ttlv-writer.ts";
import type { BenchContext } from "./harness/context.ts";
import { cpuSecondsOf, startServer } from "./harness/processes.ts";
import { compare, interleave, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "KMIP: processor time of a request, on a connection of its own and on one that is kept";

const REQUEST_PER_CONNECTION_MS_MAX = 1.5;
/** Until what a handshake runs through has been compiled. */
const WARM_UP_CONNECTIONS = 300;

export async function run(context: BenchContext): Promise<Row[]> {
  const pki = await createThrowAwayPki("bench.example");
  const caller = await pki.issue({ identity: { kind: "client", path: "database" } });
  const write = (name: string, text: string): string => {
    const path = join(context.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const rsa = await rsaCertificate();
  const clientCa = write("ca.pem", pki.core.clientCa);
  const listener = (name: string, { cert, key }: { cert: string; key: string }) => ({
    tls: "127.0.0.1:0",
    cert: write(`${name}.pem`, cert),
    key: write(`${name}.key`, key),
    client_ca: clientCa,
    doors: ["kmip"],
  });
  const server = await startServer("edge.ts", {
    configuration: {
      listeners: [listener("ecdsa", pki.core), listener("rsa", rsa)],
      doors: { kmip: { tenant: "tenant-a", service: "billing", handshakes_per_second: 100_000 } },
      policies: [
        {
          principals: ["spiffe://bench.example/*"],
          tenants: ["tenant-a"],
          services: ["billing"],
          operations: ["create", "decrypt"],
        },
      ],
    },
  });
  context.cleanUp(() => server.stop());
  const [ecdsaPort, rsaPort] = (server.ready.addresses as string[]).map((address) => Number(new URL(address).port));
  const at = (port: number, ca: string): ConnectionOptions => ({
    host: "127.0.0.1",
    port,
    ca,
    servername: "localhost",
    cert: caller.certificate,
    key: caller.key,
  });
  const ecdsa = at(ecdsaPort!, pki.core.clientCa);
  const made = await exchange(await open(ecdsa), createMessage());
  const get = getMessage(identifierIn(decodeItem(made)));

  /** Processor milliseconds of the edge for each of as many requests as fit into a sample. */
  const sample = (one: () => Promise<void>) => async (): Promise<number> => {
    const before = cpuSecondsOf(server.pid);
    const endMs = performance.now() + Math.max(context.sampleMs, 1_000);
    let count = 0;
    for (; performance.now() < endMs; count++) await one();
    return ((cpuSecondsOf(server.pid) - before) / count) * 1_000;
  };
  const anew = (options: ConnectionOptions) => async (): Promise<void> => {
    const socket = await open(options);
    await exchange(socket, get);
    socket.destroy();
  };
  let session: Buffer | undefined;
  const resumed = async (): Promise<void> => {
    const socket = await open({ ...ecdsa, session }, (ticket) => {
      session = ticket;
    });
    await exchange(socket, get);
    socket.destroy();
  };
  for (let count = 0; count < WARM_UP_CONNECTIONS; count++) await anew(ecdsa)();
  const kept = await open(ecdsa);
  context.cleanUp(() => kept.destroy());
  const samples = await interleave(
    {
      ecdsa: sample(anew(ecdsa)),
      rsa: sample(anew(at(rsaPort!, rsa.cert))),
      resumed: sample(resumed),
      kept: sample(async () => void (await exchange(kept, get))),
    },
    context.rounds,
  );
  const unit = "ms of the edge's processor time per request";
  return [
    row({
      name: "kmip: Get on a connection of its own, ECDSA certificate",
      ...compare(samples.ecdsa, samples.rsa),
      baselineName: "an RSA-2048 certificate",
      unit,
      goal: { of: "value", atMost: REQUEST_PER_CONNECTION_MS_MAX },
      note: "mutual TLS 1.3, no session resumed",
    }),
    row({
      name: "kmip: Get on a connection of its own, session resumed by a ticket",
      ...compare(samples.resumed, samples.ecdsa),
      baselineName: "without a ticket",
      unit,
      note: "for clients that keep tickets; PyKMIP and MongoDB's drivers do not",
    }),
    row({
      name: "kmip: Get on a connection that is kept",
      value: median(samples.kept),
      spread: spread(samples.kept),
      unit,
    }),
  ];
}

function open(options: ConnectionOptions, onSession?: (ticket: Buffer) => void): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options, () => {
      socket.setNoDelay(true);
      resolve(socket);
    });
    socket.once("error", reject);
    if (onSession !== undefined) socket.once("session", onSession);
  });
}

/** One request and its whole response. */
function exchange(socket: TLSSocket, message: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 8 || received.length < 8 + received.readUInt32BE(4)) return;
      socket.off("data", take);
      socket.off("error", reject);
      resolve(received);
    };
    socket.on("data", take);
    socket.on("error", reject);
    socket.write(message);
  });
}

function request(operation: number, payload: (writer: TtlvWriter) => void): Uint8Array {
  const writer = new TtlvWriter();
  writer.structure(TAG.requestMessage, () => {
    writer.structure(TAG.requestHeader, () => {
      writer.structure(TAG.protocolVersion, () => {
        writer.integer(TAG.protocolVersionMajor, 1);
        writer.integer(TAG.protocolVersionMinor, 4);
      });
      writer.integer(TAG.batchCount, 1);
    });
    writer.structure(TAG.batchItem, () => {
      writer.enumeration(TAG.operation, operation);
      writer.structure(TAG.requestPayload, () => payload(writer));
    });
  });
  return Uint8Array.from(writer.bytes);
}

function createMessage(): Uint8Array {
  return request(OPERATION.create, (writer) => {
    writer.enumeration(TAG.objectType, 2);
    writer.structure(TAG.templateAttribute, () => {
      const attribute = (name: string, put: () => void): void =>
        writer.structure(TAG.attribute, () => {
          writer.text(TAG.attributeName, name);
          put();
        });
      attribute("Cryptographic Algorithm", () => writer.enumeration(TAG.attributeValue, 3));
      attribute("Cryptographic Length", () => writer.integer(TAG.attributeValue, 256));
    });
  });
}

const getMessage = (identifier: string): Uint8Array =>
  request(OPERATION.get, (writer) => writer.text(TAG.uniqueIdentifier, identifier));

function identifierIn(item: Item): string {
  const found = find(item);
  if (found === undefined) throw new Error("The edge has made no key.");
  return textOf(found);
}

function find(item: Item): Item | undefined {
  if (item.tag === TAG.uniqueIdentifier) return item;
  for (const inner of item.items) {
    const found = find(inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function rsaCertificate(): Promise<{ cert: string; key: string }> {
  const algorithm = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: Uint8Array.of(1, 0, 1),
  };
  const keys = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=localhost",
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }])],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  return { cert: certificate.toString("pem"), key };
}
