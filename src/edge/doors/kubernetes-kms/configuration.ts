/** `doors.kubernetes-kms` of the configuration. */
import type { Static } from "@sinclair/typebox";
import { Name, Section } from "../../../base/config/schema-types.ts";

export const KubernetesKmsSection = Section(
  {
    tenant: Name({ description: "The tenant of the service key that the cluster's seeds are encrypted under." }),
    service: Name({ description: "Its service." }),
  },
  {
    description:
      "The front door `kubernetes-kms`: Kubernetes' KMS plugin API, v2. One socket serves one service key: a listener's own entry may name another.",
  },
);

export type KubernetesKmsConfiguration = Static<typeof KubernetesKmsSection>;
