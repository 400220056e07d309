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
  make(get) {
    const access = get(ACCESS_POLICY);
    const leases = get(LEASE_CACHE);
    return createOperations({
      access,
      leases,
      recorder: get(RECORDER),
      hooks: get(OPERATION_HOOKS),
      cacheSeconds: ({ principal }, { tenant, service }) =>
        Math.min(
          access.cacheSeconds(principal, tenant, service),
          Math.floor(leases.remainingMs(tenant, service) / 1000),
        ),
    });
  },
};
