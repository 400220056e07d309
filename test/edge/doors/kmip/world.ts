/** A KMIP door over the real pipeline and cipher, with a lease that can be in trouble, and a client that writes messages by hand. */
import { connect as connectTo, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { allowAll, heldLeases, ignoreAll } from "../../../../bench/harness/edge-in-process.ts";
import type { OperationError } from "../../../../src/base/errors.ts";
import type { AccessPolicy } from "../../../../src/edge/access/access-policy.ts";
import type { Principal } from "../../../../src/edge/access/principal.ts";
import type { LeaseCache } from "../../../../src/edge/cache/lease-cache.ts";
import type { DoorContext, SocketLimits } from "../../../../src/edge/doors/door.ts";
import type { KmipConfiguration } from "../../../../src/edge/doors/kmip/configuration.ts";
import type { RevokeService } from "../../../../src/edge/doors/kmip/core-revocation.ts";
import { createKmipDoor } from "../../../../src/edge/doors/kmip/door.ts";
import { OPERATION, TAG } from "../../../../src/edge/doors/kmip/enumerations.ts";
import type { HandlerParts } from "../../../../src/edge/doors/kmip/handler.ts";
import { answerMessage } from "../../../../src/edge/doors/kmip/message.ts";
import { decodeItem, type Item, integerOf, textOf, unsignedOf } from "../../../../src/edge/doors/kmip/ttlv.ts";
import { TtlvWriter } from "../../../../src/edge/doors/kmip/ttlv-writer.ts";
import type { Caller } from "../../../../src/edge/operations/operations.ts";
import { createOperations } from "../../../../src/edge/operations/pipeline.ts";
import { VirtualClock } from "../../../support/virtual-clock.ts";

export const PRINCIPAL: Principal = { kind: "dns", name: "db.example" };
export const CALLER: Caller = { principal: PRINCIPAL, door: "kmip", requestId: undefined };
export const NOW_SECONDS = 1_767_225_600;

export interface World {
  /** Thrown by every lease from now on. */
  trouble: OperationError | undefined;
  /** Thrown by the policy from now on. */
  denial: OperationError | undefined;
  readonly parts: HandlerParts;
  readonly defects: unknown[];
  /** What the policy was asked. */
  readonly authorized: string[];
}

export function makeWorld(more: { readonly revokeService?: RevokeService; readonly homeless?: boolean } = {}): World {
  const held = heldLeases();
  const defects: unknown[] = [];
  const inTrouble = <Arguments extends readonly unknown[], Result>(lease: (...args: Arguments) => Result) => {
    return (...args: Arguments): Result => {
      if (world.trouble !== undefined) throw world.trouble;
      return lease(...args);
    };
  };
  const leases: LeaseCache = {
    active: inTrouble(held.active.bind(held)),
    version: inTrouble(held.version.bind(held)),
    versions: inTrouble(held.versions.bind(held)),
    close() {},
  };
  const access: AccessPolicy = {
    ...allowAll,
    authorize(_principal, operation, tenant, service) {
      world.authorized.push(`${operation} ${tenant}/${service}`);
      if (world.denial !== undefined) throw world.denial;
    },
  };
  const log = { debug() {}, info() {}, warn() {}, error: (details: object) => void defects.push(details) };
  const world: World = {
    trouble: undefined,
    denial: undefined,
    defects,
    authorized: [],
    parts: {
      operations: createOperations({ access, leases, recorder: ignoreAll }),
      serviceOf: () => (more.homeless === true ? undefined : { tenant: "tenant-a", service: "billing" }),
      nowSeconds: () => NOW_SECONDS,
      vendor: "crypto-edge test",
      revokeService: more.revokeService,
      log,
    },
  };
  return world;
}

export type Write = (writer: TtlvWriter) => void;

export interface Request {
  readonly operation: number;
  readonly payload?: Write;
  readonly id?: Uint8Array;
  /** Behind the payload. */
  readonly extension?: Write;
}

export interface Envelope {
  readonly major?: number;
  readonly minor?: number;
  /** Between the protocol version and the batch count. */
  readonly header?: Write;
  readonly batchCount?: number;
}

/** One message. `version` is ten times the major number plus the minor one. */
export function message(version: number, requests: readonly Request[], envelope: Envelope = {}): Uint8Array {
  const writer = new TtlvWriter();
  writer.structure(TAG.requestMessage, () => {
    writer.structure(TAG.requestHeader, () => {
      writer.structure(TAG.protocolVersion, () => {
        writer.integer(TAG.protocolVersionMajor, envelope.major ?? Math.floor(version / 10));
        writer.integer(TAG.protocolVersionMinor, envelope.minor ?? version % 10);
      });
      envelope.header?.(writer);
      writer.integer(TAG.batchCount, envelope.batchCount ?? requests.length);
    });
    for (const { operation, payload, id, extension } of requests) {
      writer.structure(TAG.batchItem, () => {
        writer.enumeration(TAG.operation, operation);
        if (id !== undefined) writer.byteString(TAG.uniqueBatchItemId, id);
        writer.structure(TAG.requestPayload, () => payload?.(writer));
        extension?.(writer);
      });
    }
  });
  return Uint8Array.from(writer.bytes);
}

export interface Answer {
  readonly operation: number | undefined;
  readonly id: Uint8Array | undefined;
  readonly ok: boolean;
  readonly reason: number | undefined;
  readonly message: string;
  readonly payload: Item | undefined;
}

export interface Response {
  readonly version: string;
  readonly header: Item;
  readonly answers: readonly Answer[];
  readonly last: boolean;
  readonly bytes: Uint8Array;
}

export async function ask(world: World, bytes: Uint8Array, caller = CALLER): Promise<Response> {
  const { writer, last } = await answerMessage(bytes, caller, world.parts);
  return readResponse(Uint8Array.from(writer.bytes), last);
}

/** One operation in a message of its own. */
export async function askFor(world: World, version: number, operation: number, payload?: Write): Promise<Answer> {
  const request: Request = payload === undefined ? { operation } : { operation, payload };
  return (await ask(world, message(version, [request]))).answers[0]!;
}

export function readResponse(bytes: Uint8Array, last = false): Response {
  const [header, ...items] = decodeItem(bytes).items;
  const [version] = header!.items;
  return {
    version: version!.items.map(integerOf).join("."),
    header: header!,
    answers: items.map((item) => {
      const payload = field(item, TAG.responsePayload);
      const operation = field(item, TAG.operation);
      const reason = field(item, TAG.resultReason);
      const text = field(item, TAG.resultMessage);
      return {
        operation: operation && unsignedOf(operation),
        id: field(item, TAG.uniqueBatchItemId)?.value,
        ok: unsignedOf(field(item, TAG.resultStatus)!) === 0,
        reason: reason && unsignedOf(reason),
        message: text === undefined ? "" : textOf(text),
        payload,
      };
    }),
    last,
    bytes,
  };
}

/** The first item of a tag inside another, however deep. */
export function field(item: Item | undefined, ...path: readonly number[]): Item | undefined {
  return path.reduce<Item | undefined>((at, tag) => at?.items.find((inner) => inner.tag === tag), item);
}

export function identifierOf({ payload }: Answer): string {
  return textOf(field(payload, TAG.uniqueIdentifier)!);
}

export const named =
  (identifier: string, more?: Write): Write =>
  (writer) => {
    writer.text(TAG.uniqueIdentifier, identifier);
    more?.(writer);
  };

/** Attributes as versions 1 and 2 have them. */
export function attributes(
  version: number,
  values: Readonly<Record<string, readonly [tag: number, write: string, value: number]>>,
): Write {
  return (writer) => {
    const put = (tag: number, kind: string, value: number): void => {
      if (kind === "enumeration") writer.enumeration(tag, value);
      else if (kind === "date") writer.dateTime(tag, value);
      else writer.integer(tag, value);
    };
    if (version >= 20) {
      writer.structure(TAG.attributes, () => {
        for (const [tag, kind, value] of Object.values(values)) put(tag, kind, value);
      });
      return;
    }
    writer.structure(TAG.templateAttribute, () => {
      for (const [name, [, kind, value]] of Object.entries(values)) {
        writer.structure(TAG.attribute, () => {
          writer.text(TAG.attributeName, name);
          put(TAG.attributeValue, kind, value);
        });
      }
    });
  };
}

export const aesAttributes = (version: number, bits = 256, mask = 12): Write =>
  attributes(version, {
    "Cryptographic Algorithm": [TAG.cryptographicAlgorithm, "enumeration", 3],
    "Cryptographic Length": [TAG.cryptographicLength, "integer", bits],
    "Cryptographic Usage Mask": [TAG.cryptographicUsageMask, "integer", mask],
  });

export const create = (version: number, bits?: number, mask?: number): Request => ({
  operation: OPERATION.create,
  payload(writer) {
    writer.enumeration(TAG.objectType, 2);
    aesAttributes(version, bits, mask)(writer);
  },
});

export interface KeyBlockOptions {
  readonly format?: number;
  readonly algorithm?: number;
  readonly length?: number;
  readonly more?: Write;
  /** Behind the key material. */
  readonly moreValue?: Write;
}

export function keyBlock(writer: TtlvWriter, material: Uint8Array, options: KeyBlockOptions = {}): void {
  writer.structure(TAG.keyBlock, () => {
    writer.enumeration(TAG.keyFormatType, options.format ?? 1);
    writer.structure(TAG.keyValue, () => {
      if (options.format === 7) writer.structure(TAG.keyMaterial, () => writer.byteString(TAG.key, material));
      else writer.byteString(TAG.keyMaterial, material);
      options.moreValue?.(writer);
    });
    if (options.algorithm !== undefined) writer.enumeration(TAG.cryptographicAlgorithm, options.algorithm);
    if (options.length !== undefined) writer.integer(TAG.cryptographicLength, options.length);
    options.more?.(writer);
  });
}

/** As MongoDB's CSFLE registers its seed: an opaque seed, usage mask 0. */
export const registerSecret = (version: number, material: Uint8Array, secretDataType = 2, format = 2): Request => ({
  operation: OPERATION.register,
  payload(writer) {
    writer.enumeration(TAG.objectType, 7);
    attributes(version, { "Cryptographic Usage Mask": [TAG.cryptographicUsageMask, "integer", 0] })(writer);
    writer.structure(TAG.secretData, () => {
      writer.enumeration(TAG.secretDataType, secretDataType);
      keyBlock(writer, material, { format });
    });
  },
});

export const registerKey = (version: number, material: Uint8Array, options: KeyBlockOptions = {}): Request => ({
  operation: OPERATION.register,
  payload(writer) {
    writer.enumeration(TAG.objectType, 2);
    attributes(version, { "Cryptographic Usage Mask": [TAG.cryptographicUsageMask, "integer", 12] })(writer);
    writer.structure(TAG.symmetricKey, () => keyBlock(writer, material, { algorithm: 3, ...options }));
  },
});

export interface Door {
  readonly clock: VirtualClock;
  readonly world: World;
  /** What the gate was asked for and given back. */
  readonly inFlight: number[];
  overloaded: boolean;
  countedAgainstAddress: number;
  /** A stream of the test's own in the place of a connection. */
  serve(stream: Duplex): void;
  connect(): Promise<Connection>;
  close(): void;
}

export interface Connection {
  readonly socket: Socket;
  /** The next whole response. */
  next(): Promise<Response>;
  /** Resolves when the door has ended the connection. */
  readonly ended: Promise<void>;
}

/** The door itself, on sockets of this machine without TLS: what the listener does is the listener's test. */
export async function openDoor(section: Partial<KmipConfiguration> = {}): Promise<Door> {
  const world = makeWorld();
  const clock = new VirtualClock();
  const context: DoorContext = {
    operations: world.parts.operations,
    log: world.parts.log,
    now: clock,
    version: "test",
    readiness: () => ({ ready: true }),
  };
  const made = createKmipDoor(
    {
      ...(section.places === undefined ? { tenant: "tenant-a" } : {}),
      service: "billing",
      places: [],
      handshakes_per_second: 100,
      revoke_principals: [],
      ...section,
    },
    context,
  );
  const inFlight: number[] = [];
  const limits: SocketLimits = {
    messageBytesMax: 1 << 24,
    idleTimeoutMs: 60_000,
    enter(bytes) {
      if (door.overloaded) return false;
      inFlight.push(bytes);
      return true;
    },
    leave: (bytes) => void inFlight.splice(inFlight.indexOf(bytes), 1),
    countAgainstAddress: () => void door.countedAgainstAddress++,
  };
  const sockets: Socket[] = [];
  const serve = (stream: Duplex): void =>
    void made.serve(
      stream,
      { kind: "tls", principal: PRINCIPAL, peer: undefined, peerCertificate: undefined, otherCertificates: [] },
      limits,
    );
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const door: Door = {
    clock,
    world,
    inFlight,
    overloaded: false,
    countedAgainstAddress: 0,
    serve,
    connect: () => connectionTo(port),
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return door;
}

function connectionTo(port: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = connectTo(port, "127.0.0.1");
    let received = Buffer.alloc(0);
    const waiting: ((response: Response) => void)[] = [];
    const deliver = (): void => {
      while (waiting.length > 0 && received.length >= 8) {
        const length = 8 + received.readUInt32BE(4);
        if (received.length < length) return;
        waiting.shift()!(readResponse(Uint8Array.from(received.subarray(0, length))));
        received = received.subarray(length);
      }
    };
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      deliver();
    });
    const ended = new Promise<void>((resolveEnd) => {
      socket.once("end", resolveEnd);
      socket.once("close", () => resolveEnd());
    });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.on("error", () => undefined);
      resolve({
        socket,
        ended,
        next: () =>
          new Promise((got) => {
            waiting.push(got);
            deliver();
          }),
      });
    });
  });
}
