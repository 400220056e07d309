/** What is wrong with a request as HTTP; thrown by whoever reads it, answered by the connection, which then ends. */
export class Refusal extends Error {
  readonly status: RefusalStatus;

  constructor(status: RefusalStatus, reason: string) {
    super(reason);
    this.status = status;
  }
}

export type RefusalStatus = 400 | 413 | 417 | 431 | 501 | 505;
