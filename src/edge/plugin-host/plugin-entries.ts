/** The list of plugins in a configuration: the edge's and the Core's alike. */
import { Type } from "@sinclair/typebox";
import { Path, Section } from "../../base/config/schema-types.ts";

export const PluginEntries = Type.Array(
  Type.Union([
    Path(),
    Section({
      path: Path({ description: "The plugin's folder or file." }),
      sha256: Type.Optional(
        Type.String({
          pattern: "^[0-9a-fA-F]{64}$",
          expected: "64 hex digits, as `crypto-edge plugin check` prints them",
          description: "The hash of its files: other files do not run.",
        }),
      ),
      owner: Type.Optional(
        Type.Integer({
          minimum: 0,
          description: "A user id that may own the files, besides root and the edge's own.",
        }),
      ),
    }),
  ]),
  { default: [], description: "Folders or files of plugins." },
);
