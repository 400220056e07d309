/** The operator of Orbital: judges a request, hands it to the handler of its type, and makes the answer. */
import { createHash } from "node:crypto";
import { type Clock, messageOf } from "crypto-edge/plugin";
import {
  type AnswerSigner,
  type ClaimedSignature,
  claimedSignature,
  SignatureRefused,
  type TrustedIssuer,
} from "./signatures.ts";
import type { TaskRequest, TaskResponse } from "./task.ts";

/** What has become of a task. `PROCESSING` asks to be asked again; the others end it. */
export type TaskResult =
  | { readonly status: "DONE"; readonly workingState?: Uint8Array }
  | { readonly status: "PROCESSING"; readonly reconcileAfterSec: number; readonly workingState?: Uint8Array }
  | { readonly status: "FAILED"; readonly errorMessage: string };

/** `issuer` is undefined for a request that nobody signed. Called again for the same task until it is done. */
export type TaskHandler<Issuer extends TrustedIssuer> = (
  task: TaskRequest,
  issuer: Issuer | undefined,
) => TaskResult | Promise<TaskResult>;

export interface OperatorOptions<Issuer extends TrustedIssuer> {
  readonly handlers: Readonly<Record<string, TaskHandler<Issuer>>>;
  readonly issuers: readonly Issuer[];
  /** Whether a request without a signature is refused, whatever its type. */
  readonly requireSignature: boolean;
  /** As its file is now; undefined where answers are not signed. */
  readonly signer: () => AnswerSigner | undefined;
  readonly clock: Clock;
}

/** Tasks that have ended and are remembered: the same request comes again, also after others have changed what it did. */
const ENDED_MAX = 10_000;
/** A task that takes longer goes on, and is asked for again: a manager's transaction, over gRPC with all of its calls, ends after 5 s. */
const ANSWER_WITHIN_MS = 3_000;
const GOES_ON: TaskResult = { status: "PROCESSING", reconcileAfterSec: 1 };

export class Operator<Issuer extends TrustedIssuer> {
  readonly #options: OperatorOptions<Issuer>;
  readonly #ended = new Map<string, TaskResult>();
  #turn: Promise<unknown> = Promise.resolve();
  readonly #running = new Map<string, Promise<TaskResult>>();

  constructor(options: OperatorOptions<Issuer>) {
    this.#options = options;
  }

  /** @throws {SignatureRefused} */
  async answer(request: TaskRequest): Promise<TaskResponse> {
    const { issuers, requireSignature } = this.#options;
    const signature = await claimedSignature(request, issuers);
    if (signature === undefined && requireSignature) throw new SignatureRefused("it is not signed");
    const { result: running } = await this.#inTurn(request, signature);
    const result = await this.#within(running);
    const { taskId, type, externalId, eTag } = request;
    const response: TaskResponse = {
      taskId,
      type,
      externalId,
      eTag,
      workingState: result.status === "FAILED" ? request.workingState : (result.workingState ?? request.workingState),
      status: result.status,
      errorMessage: result.status === "FAILED" ? result.errorMessage : undefined,
      reconcileAfterSec: result.status === "PROCESSING" ? result.reconcileAfterSec : 0,
      metaData: {},
    };
    const signer = this.#options.signer();
    return signer === undefined ? response : signer.sign(response);
  }

  async #within(running: TaskResult | Promise<TaskResult>): Promise<TaskResult> {
    if (!(running instanceof Promise)) return running;
    const late = Promise.withResolvers<TaskResult>();
    const timer = this.#options.clock.schedule(ANSWER_WITHIN_MS, () => late.resolve(GOES_ON));
    try {
      return await Promise.race([running, late.promise]);
    } finally {
      timer.cancel();
    }
  }

  /** Verifies, and begins the task, in the order in which requests came: a restore must not overtake its revoke. */
  #inTurn(
    request: TaskRequest,
    signature: ClaimedSignature<Issuer> | undefined,
  ): Promise<{ result: TaskResult | Promise<TaskResult> }> {
    const turn = this.#turn.then(async () => {
      await signature?.verify();
      return { result: this.#resultOf(request, signature?.issuer) };
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** A task that has ended stays as it ended; one that comes by both transports at once is done once. */
  #resultOf(request: TaskRequest, issuer: Issuer | undefined): TaskResult | Promise<TaskResult> {
    const name = nameOf(request, issuer);
    const ended = this.#ended.get(name);
    if (ended !== undefined) return ended;
    let running = this.#running.get(name);
    if (running === undefined) {
      running = this.#run(request, issuer).then((result) => {
        this.#running.delete(name);
        if (result.status !== "PROCESSING") this.#remember(name, result);
        return result;
      });
      this.#running.set(name, running);
    }
    return running;
  }

  async #run(request: TaskRequest, issuer: Issuer | undefined): Promise<TaskResult> {
    const { type } = request;
    const { handlers } = this.#options;
    if (!Object.hasOwn(handlers, type)) {
      return { status: "FAILED", errorMessage: `no handler registered for task type ${type}` };
    }
    try {
      return await handlers[type]!(request, issuer);
    } catch (error) {
      return { status: "FAILED", errorMessage: messageOf(error) };
    }
  }

  #remember(name: string, result: TaskResult): void {
    this.#ended.set(name, result);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= ENDED_MAX) break;
      this.#ended.delete(oldest);
    }
  }
}

/** The same task is of the same id, type, issuer and data: another one under a known id does not get its answer. */
function nameOf({ taskId, type, data }: TaskRequest, issuer: TrustedIssuer | undefined): string {
  const hash = createHash("sha256").update(data ?? "");
  return `${taskId} ${issuer?.issuer ?? ""} ${type} ${hash.digest("base64url")}`;
}
