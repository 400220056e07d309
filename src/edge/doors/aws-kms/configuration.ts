/** `doors.aws-kms` of the configuration. */
import { type Static, Type } from "@sinclair/typebox";
import { Name, Secret, Section } from "../../../base/config/schema-types.ts";

/** Of an id, an alias or an ARN; nothing that JSON escapes. `mrk-` has a meaning of its own to clients. */
const KEY_ID_PATTERN = "^(?!mrk-)(?!arn:[^/]*/mrk-)[A-Za-z0-9:/_+=,.@-]{1,512}$";
const REGION_PATTERN = "^[a-z0-9-]{1,32}$";

export const AwsKmsSection = Section(
  {
    account: Type.String({
      default: "000000000000",
      pattern: "^[0-9]{12}$",
      expected: 'twelve digits in quotes, such as "111122223333"',
      description:
        "The AWS account in key ARNs. An ARN of another account is NotFoundException, at encryption already.",
    }),
    region: Type.String({
      default: "us-east-1",
      pattern: REGION_PATTERN,
      expected: "a region such as eu-central-1",
      description:
        "The region in the key ARNs of answers, where neither the request's key nor its signature names one.",
    }),
    keys: Type.Record(Type.String({ pattern: KEY_ID_PATTERN }), Section({ tenant: Name(), service: Name() }), {
      default: {},
      expectedKey: "a key id, an alias/NAME or an ARN, and does not begin with mrk-",
      description:
        "Ids, aliases (alias/NAME) and ARNs that are in code already, and their service keys. TENANT/SERVICE works without.",
    }),
    access_keys: Type.Array(
      Section({
        id: Type.String({
          pattern: "^[A-Za-z0-9_]{1,128}$",
          expected: "an access key id: letters, digits and _",
          description: "The access key id; its principal is access-key:ID.",
        }),
        secret: Secret({ description: "The secret access key, best as file:PATH. The edge holds it in clear." }),
      }),
      {
        default: [],
        description:
          "Access keys whose signatures (SigV4) are taken from callers of https listeners without certificate and token.",
      },
    ),
  },
  { description: "The front door `aws-kms`: the JSON API of AWS KMS." },
);

export type AwsKmsConfiguration = Static<typeof AwsKmsSection>;
