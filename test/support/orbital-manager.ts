/**
 * A manager of Orbital for tests, written from the description of its wire alone: it sends task requests, keeps asking until each
 * has ended, reads both codecs by another implementation than the plugin's, and signs and verifies by `node:crypto`.
 */
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  randomUUID,
  sign,
  verify,
  X509Certificate,
} from "node:crypto";
import { Client, credentials } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import rhea, { type Connection, type EventContext, type Sender } from "rhea";

export interface ManagerTask {
  readonly taskId: string;
  readonly type: string;
  readonly externalId: string;
  readonly data: Buffer | undefined;
  readonly workingState: Buffer | undefined;
  readonly eTag: string;
  readonly metaData: Readonly<Record<string, string>>;
}

export interface ManagerAnswer {
  readonly taskId: string;
  readonly type: string;
  readonly externalId: string;
  readonly workingState: Buffer | undefined;
  readonly eTag: string;
  readonly status: "PROCESSING" | "DONE" | "FAILED";
  readonly errorMessage: string | undefined;
  readonly reconcileAfterSec: number;
  readonly metaData: Readonly<Record<string, string>>;
}

const SIGNATURE = "X-Message-Signature";
const STATUSES = ["PROCESSING", "DONE", "FAILED"] as const;

const { root } = protobuf.parse(
  `syntax = "proto3";
  package orbital.v1;
  message TaskRequest {
    string taskId = 10; string type = 20; string externalId = 25; optional bytes data = 30; bytes workingState = 40;
    string etag = 50; map<string, string> metaData = 60; int64 taskCreatedAt = 70; int64 taskLastReconciledAt = 80;
  }
  message TaskResponse {
    string taskId = 10; string type = 20; string externalId = 25; optional bytes workingState = 30; string etag = 40;
    int32 status = 50; optional string errorMessage = 60; uint64 reconcileAfterSec = 70; map<string, string> metaData = 80;
  }`,
  { keepCase: true },
);
const RequestType = root.lookupType("orbital.v1.TaskRequest");
const ResponseType = root.lookupType("orbital.v1.TaskResponse");

export const protobufWire = {
  encode({ eTag, data, workingState, ...task }: ManagerTask): Buffer {
    const message = {
      ...task,
      etag: eTag,
      ...(data === undefined ? {} : { data }),
      ...(workingState === undefined ? {} : { workingState }),
      taskCreatedAt: Date.now() * 1e6,
      taskLastReconciledAt: 0,
    };
    return Buffer.from(RequestType.encode(RequestType.create(message)).finish());
  },
  decode(bytes: Uint8Array): ManagerAnswer {
    const message = ResponseType.toObject(ResponseType.decode(bytes), { longs: Number, defaults: false }) as Record<
      string,
      unknown
    >;
    return {
      taskId: (message.taskId as string) ?? "",
      type: (message.type as string) ?? "",
      externalId: (message.externalId as string) ?? "",
      workingState: message.workingState === undefined ? undefined : Buffer.from(message.workingState as Uint8Array),
      eTag: (message.etag as string) ?? "",
      status: STATUSES[(message.status as number) ?? 0]!,
      errorMessage: message.errorMessage as string | undefined,
      reconcileAfterSec: (message.reconcileAfterSec as number) ?? 0,
      metaData: (message.metaData as Record<string, string>) ?? {},
    };
  },
};

export const jsonWire = {
  encode: ({ data, workingState, ...task }: ManagerTask): Buffer =>
    Buffer.from(
      JSON.stringify({
        ...task,
        data: data?.toString("base64") ?? null,
        workingState: workingState?.toString("base64") ?? null,
        taskCreatedAt: Math.floor(Date.now() / 1_000),
        taskLastReconciledAt: 0,
      }),
    ),
  decode(bytes: Uint8Array): ManagerAnswer {
    const value = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    return {
      ...(value as unknown as ManagerAnswer),
      workingState: typeof value.workingState === "string" ? Buffer.from(value.workingState, "base64") : undefined,
    };
  },
};

/** Who signs, as an issuer of the edge's configuration knows it. */
export interface ManagerKey {
  readonly issuer: string;
  readonly keyId: string;
  readonly privateKey: string;
}

const base64 = (bytes: Buffer | undefined): string => bytes?.toString("base64") ?? "";

export function signTask(task: ManagerTask, { issuer, keyId, privateKey }: ManagerKey): ManagerTask {
  const text = `taskId:${task.taskId},type:${task.type},externalId:${task.externalId},data:${base64(task.data)},workingState:${base64(task.workingState)},eTag:${task.eTag}`;
  const hash = createHash("sha256").update(text).digest("base64url");
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ typ: "JWT", alg: "PS256" })}.${encode({ iss: issuer, kid: keyId, hash, "hash-alg": "SHA256" })}`;
  const signature = sign("sha256", Buffer.from(signed), {
    key: createPrivateKey(privateKey),
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  });
  return { ...task, metaData: { ...task.metaData, [SIGNATURE]: `${signed}.${signature.toString("base64url")}` } };
}

/** Whether the answer is signed by the key of the certificate. */
export function isSigned(answer: ManagerAnswer, certificate: string): boolean {
  const [header = "", payload = "", signature = ""] = (answer.metaData[SIGNATURE] ?? "").split(".");
  const { taskId, type, externalId, workingState, eTag, status, errorMessage = "", reconcileAfterSec } = answer;
  const text = `taskId:${taskId},type:${type},externalId:${externalId},workingState:${base64(workingState)},eTag:${eTag},status:${status},errorMessage:${errorMessage},reconcileAfterSec:${reconcileAfterSec}`;
  const { hash } = JSON.parse(Buffer.from(payload, "base64url").toString() || "{}") as { hash?: string };
  return (
    hash === createHash("sha256").update(text).digest("base64url") &&
    verify(
      "sha256",
      Buffer.from(`${header}.${payload}`),
      {
        key: createPublicKey(new X509Certificate(certificate).publicKey.export({ type: "spki", format: "pem" })),
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: 32,
      },
      Buffer.from(signature, "base64url"),
    )
  );
}

export function newTask(type: string, data: object | string, more: Partial<ManagerTask> = {}): ManagerTask {
  return {
    taskId: randomUUID(),
    type,
    externalId: randomUUID(),
    data: Buffer.from(typeof data === "string" ? data : JSON.stringify(data)),
    workingState: undefined,
    eTag: randomUUID(),
    metaData: {},
    ...more,
  };
}

/** One way to a target. */
export interface Lane {
  /** Sends one request; the answer comes to `onAnswer`, or never. */
  send(task: ManagerTask): Promise<void>;
  close(): Promise<void>;
}

export interface ManagerOptions {
  readonly key?: ManagerKey | undefined;
  /** How long to wait for an answer before the request is sent again. */
  readonly resendMs?: number;
}

/** Sends a task by every lane, again and again with a new etag, until an answer ends it. */
export class Manager {
  readonly answers: ManagerAnswer[] = [];
  readonly #lanes: Lane[] = [];
  readonly #options: ManagerOptions;
  readonly #waiting = new Map<string, (answer: ManagerAnswer) => void>();

  constructor(options: ManagerOptions = {}) {
    this.#options = options;
  }

  add(lane: Lane): void {
    this.#lanes.push(lane);
  }

  readonly onAnswer = (answer: ManagerAnswer): void => {
    this.answers.push(answer);
    this.#waiting.get(answer.taskId)?.(answer);
  };

  /** The answer that ends the task. Every answer has to echo the request. */
  async run(task: ManagerTask, limitMs = 60_000): Promise<ManagerAnswer> {
    const endMs = performance.now() + limitMs;
    const { key, resendMs = 2_000 } = this.#options;
    let { workingState } = task;
    for (;;) {
      const request = { ...task, workingState, eTag: randomUUID() };
      const signed = key === undefined ? request : signTask(request, key);
      const answered = new Promise<ManagerAnswer | undefined>((resolve) => {
        this.#waiting.set(task.taskId, (answer) => answer.eTag === request.eTag && resolve(answer));
        setTimeout(resolve, resendMs, undefined);
      });
      await Promise.all(this.#lanes.map((lane) => lane.send(signed).catch(() => {})));
      const answer = await answered;
      this.#waiting.delete(task.taskId);
      if (answer !== undefined) {
        if (answer.type !== task.type || answer.externalId !== task.externalId)
          throw new Error("the answer echoes another task");
        if (answer.status !== "PROCESSING") return answer;
        workingState = answer.workingState;
        await new Promise((resolve) => setTimeout(resolve, answer.reconcileAfterSec * 1_000));
      }
      if (performance.now() > endMs) throw new Error(`task ${task.type} had no end within ${limitMs} ms`);
    }
  }

  async close(): Promise<void> {
    for (const lane of this.#lanes) await lane.close();
  }
}

export interface AmqpLaneOptions {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly requests: string;
  readonly answers: string;
  readonly wire: typeof jsonWire | typeof protobufWire;
}

/** Over AMQP 1.0: connects, and connects again when it is needed and the broker has gone. */
export function amqpLane(options: AmqpLaneOptions, onAnswer: (answer: ManagerAnswer) => void): Lane {
  let live: { connection: Connection; sender: Sender } | undefined;

  async function connect(): Promise<Sender> {
    if (live?.sender.is_open()) return live.sender;
    const { port, user: username, password, requests, answers, wire } = options;
    const connection = rhea
      .create_container()
      .connect({ host: "127.0.0.1", port, username, password, reconnect: false });
    const sender = connection.open_sender({ target: { address: requests, durable: 2 } });
    const receiver = connection.open_receiver({ source: { address: answers, durable: 2 }, credit_window: 10_000 });
    receiver.on("message", ({ message }: EventContext) =>
      onAnswer(wire.decode((message!.body as { content: Buffer }).content)),
    );
    await new Promise<void>((resolve, reject) => {
      for (const event of [
        "disconnected",
        "connection_error",
        "session_error",
        "sender_error",
        "receiver_error",
        "error",
      ] as const) {
        connection.on(event, (context: EventContext) => reject(context?.error ?? new Error(event)));
      }
      sender.once("sendable", () => resolve());
    });
    live = { connection, sender };
    return sender;
  }

  return {
    async send(task) {
      const sender = await connect();
      sender.send({ durable: true, body: rhea.message.data_section(options.wire.encode(task)) });
    },
    async close() {
      live?.connection.removeAllListeners();
      live?.connection.on("error", () => {});
      live?.connection.close();
      live = undefined;
    },
  };
}

/** Over gRPC, with mutual TLS. */
export function grpcLane(
  port: number,
  tls: { readonly ca: string; readonly cert: string; readonly key: string } | undefined,
  onAnswer: (answer: ManagerAnswer) => void,
): Lane & { call(bytes: Buffer): Promise<Buffer> } {
  const client = new Client(
    `localhost:${port}`,
    tls === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert)),
  );
  const call = (bytes: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) =>
      client.makeUnaryRequest(
        "/orbital.v1.TaskService/SendTaskRequest",
        (value: Buffer) => value,
        (value: Buffer) => value,
        bytes,
        { deadline: Date.now() + 10_000 },
        (error, answer) => (error === null ? resolve(answer!) : reject(error)),
      ),
    );
  return {
    call,
    async send(task) {
      onAnswer(protobufWire.decode(await call(protobufWire.encode(task))));
    },
    async close() {
      client.close();
    },
  };
}
