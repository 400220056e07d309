/** What supervisor and workers say to each other. Never a key, a blob or a data key. */

import type { MetricsFormat } from "../../base/network/metrics-format.ts";

/** What a worker can tell of itself: the text of /metrics in a format, or its status as JSON. */
export type Question = MetricsFormat | "status";

export type ToWorker =
  | { readonly kind: "ask"; readonly id: number; readonly question: Question }
  | { readonly kind: "answers"; readonly id: number; readonly answers: readonly (readonly [number, string])[] }
  | { readonly kind: "turn"; readonly id: number; readonly failed: string | undefined }
  | { readonly kind: "reload" }
  | { readonly kind: "stop" };

export type ToSupervisor =
  | { readonly kind: "ready"; readonly addresses: readonly string[] }
  | { readonly kind: "claim"; readonly id: number; readonly name: string }
  | { readonly kind: "settle"; readonly name: string; readonly failure: string | undefined }
  | { readonly kind: "answer"; readonly id: number; readonly text: string }
  | { readonly kind: "ask-all"; readonly id: number; readonly question: Question };
