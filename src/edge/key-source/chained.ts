/** How a chain of key sources is known and what it tells of itself. Its code (chain.ts) is loaded where there are several sources. */
import type { Health } from "../../base/health.ts";
import type { CircuitState } from "../../base/time/circuit-breaker.ts";
import type { KeySource } from "./key-source.ts";

export interface ChainedSourceStatus {
  readonly source: string;
  readonly circuit: CircuitState;
  /** Leases it granted, authoritative refusals it gave, and times it was unavailable. */
  readonly granted: number;
  readonly refused: number;
  readonly unavailable: number;
  /** Times it was not asked, its circuit being open. */
  readonly skipped: number;
  readonly lastFailure: string | undefined;
}

export interface ChainedKeySource extends KeySource {
  /** One for each source, in order. */
  status(): readonly ChainedSourceStatus[];
  health(): Health;
}

export const CHAIN_NAME = "chain";

export function isChain(source: KeySource): source is ChainedKeySource {
  return source.name === CHAIN_NAME && "status" in source;
}
