/** Requests and answers over AMQP 1.0: one connection, one session, a receiver and a sender that keep their unsettled state. */
import { isIP } from "node:net";
import { messageOf, type PluginContext, readTls } from "crypto-edge/plugin";
import rhea, { type Connection, type ConnectionOptions, type EventContext, type Sender } from "rhea";
import type { AmqpSettings } from "./settings.ts";
import { SignatureRefused } from "./signatures.ts";
import { type Codec, MalformedTask, type TaskRequest, type TaskResponse } from "./task.ts";

/** Requests that are being worked on at once. Granted anew when all are done: RabbitMQ 3 counts grants that overlap twice. */
const CREDIT = 64;
const OPEN_MS = 10_000;
const CLOSE_MS = 1_000;
const IDLE_MS = 10_000;
const DATA_SECTION = 0x75;
/** Terminus durability: the unsettled state is kept. */
const UNSETTLED_STATE = 2;

export interface AmqpChannelOptions {
  readonly settings: AmqpSettings;
  readonly codec: Codec;
  readonly context: PluginContext;
  readonly answer: (request: TaskRequest) => Promise<TaskResponse>;
}

/** One connection, from connecting to its end; rejects with the reason when it has ended, soon once `signal` aborts. */
export async function runAmqp(options: AmqpChannelOptions, signal: AbortSignal, up: () => void): Promise<void> {
  const { context } = options;
  const connection = rhea
    .create_container({ id: `crypto-edge ${context.edgeId}` })
    .create_connection(optionsOf(options.settings));
  let end: (reason: Error) => void = () => {};
  const ended = new Promise<never>((_, reject) => {
    end = reject;
  });
  ended.catch(() => {});
  const stop = (): void => end(new Error("closed"));
  signal.addEventListener("abort", stop, { once: true });
  const timer = context.clock.schedule(OPEN_MS, () => end(new Error(`not open after ${OPEN_MS} ms`)));
  watchEnds(connection, end);
  try {
    if (signal.aborted) return;
    await Promise.race([open(connection, options), ended]);
    timer.cancel();
    up();
    await ended;
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", stop);
    await closed(connection);
  }
}

function optionsOf(settings: AmqpSettings): ConnectionOptions {
  const { server, login, user, password, hostname, properties, tls } = settings;
  const url = new URL(server);
  const isTls = url.protocol === "amqps:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const common = {
    host,
    port: url.port === "" ? (isTls ? 5671 : 5672) : Number(url.port),
    reconnect: false as const,
    idle_time_out: IDLE_MS,
    ...(hostname === undefined ? {} : { hostname }),
    ...(properties === undefined ? {} : { properties }),
    ...(login === "plain" ? { username: user, password } : {}),
    ...(login === "anonymous" ? { username: "anonymous" } : {}),
  };
  if (!isTls) return { ...common, transport: "tcp" } as ConnectionOptions;
  return {
    ...common,
    transport: "tls",
    enable_sasl_external: login === "external",
    rejectUnauthorized: true,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...readTls(tls),
  } as ConnectionOptions;
}

/** Whatever ends a connection, or a link, ends all: the next connection makes it anew. */
function watchEnds(connection: Connection, end: (reason: Error) => void): void {
  const because = (what: string) => (context: EventContext) => {
    const source = context.receiver ?? context.sender ?? context.session ?? context.connection;
    const error = (source as { error?: unknown } | undefined)?.error ?? context.error;
    const detail = error === undefined ? "" : `: ${describe(error)}`;
    end(new Error(`${what}${detail}`));
  };
  connection.on("disconnected", because("the connection broke"));
  connection.on("connection_error", because("the broker ended the connection"));
  connection.on("connection_close", because("the broker closed the connection"));
  connection.on("protocol_error", because("the broker does not speak AMQP 1.0 as expected"));
  connection.on("error", because("the connection failed"));
  for (const link of ["session", "receiver", "sender"] as const) {
    connection.on(`${link}_error`, because(`the broker ended the ${link}`));
    connection.on(`${link}_close`, because(`the broker closed the ${link}`));
  }
}

function describe(error: unknown): string {
  const { condition, description } = error as { condition?: unknown; description?: unknown };
  return condition === undefined ? messageOf(error) : `${condition} ${description ?? ""}`.trim();
}

/** Resolves when both links are there. */
async function open(connection: Connection, options: AmqpChannelOptions): Promise<void> {
  const { settings } = options;
  const opened = Promise.all(
    (["receiver_open", "sender_open"] as const).map(
      (event) => new Promise<void>((resolve) => connection.once(event, () => resolve())),
    ),
  );
  connection.connect();
  const receiver = connection.open_receiver({
    source: { address: settings.requests, durable: UNSETTLED_STATE },
    credit_window: 0,
    autoaccept: false,
  });
  const sender = connection.open_sender({ target: { address: settings.answers, durable: UNSETTLED_STATE } });
  let done = 0;
  receiver.on("message", (event: EventContext) => {
    void take(event, sender, options).finally(() => {
      if (++done % CREDIT === 0 && receiver.is_open()) receiver.add_credit(CREDIT);
    });
  });
  await opened;
  receiver.add_credit(CREDIT);
}

/** A request is accepted once it has been read, whatever it is; what becomes of it is an answer of its own. */
async function take(event: EventContext, sender: Sender, options: AmqpChannelOptions): Promise<void> {
  const { codec, context } = options;
  try {
    const bytes = bytesOf(event.message?.body);
    let request: TaskRequest;
    try {
      if (bytes === undefined) throw new MalformedTask("no data section");
      request = codec.decodeRequest(bytes);
    } finally {
      event.delivery?.accept();
    }
    const response = await options.answer(request);
    if (sender.is_open()) sender.send({ body: rhea.message.data_section(Buffer.from(codec.encodeResponse(response))) });
  } catch (error) {
    if (error instanceof MalformedTask) context.log.warn({ reason: error.message }, "a task request can't be read");
    else if (error instanceof SignatureRefused) {
      context.log.warn({ reason: error.message }, "a task request was refused: its signature does not hold");
    } else context.log.error({ reason: messageOf(error) }, "a task request was not answered");
  }
}

function bytesOf(body: unknown): Uint8Array | undefined {
  const { typecode, content } = (body ?? {}) as { typecode?: number; content?: unknown };
  const bytes = typecode === DATA_SECTION ? content : body;
  return bytes instanceof Uint8Array ? bytes : undefined;
}

/** Says goodbye, but waits for no answer for long. */
function closed(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      connection.removeAllListeners();
      connection.on("error", () => {});
      connection.on("disconnected", () => {});
      (connection as unknown as { socket?: { destroy(): void } }).socket?.destroy();
      resolve();
    };
    const timer = setTimeout(finish, CLOSE_MS);
    if (!connection.is_open()) return finish();
    connection.once("connection_close", finish);
    connection.once("disconnected", finish);
    connection.close();
  });
}
