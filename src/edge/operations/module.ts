import { type Module, token } from "../../base/module.ts";
import { ACCESS_POLICY } from "../access/module.ts";
import { LEASE_CACHE } from "../cache/module.ts";
import type { Operations } from "./operations.ts";
import { createOperations, type PipelineParts } from "./pipeline.ts";

export const OPERATIONS = token<Operations>("Operations");
export const RECORDER = token<PipelineParts["recorder"]>("Recorder");
/** Of plugins; undefined where none listens. */
export const OPERATION_HOOKS = token<PipelineParts["hooks"]>("OperationHooks");

export const operationsModule: Module<Operations> = {
  token: OPERATIONS,
  make: (get) =>
    createOperations({
      access: get(ACCESS_POLICY),
      leases: get(LEASE_CACHE),
      recorder: get(RECORDER),
      hooks: get(OPERATION_HOOKS),
    }),
};
