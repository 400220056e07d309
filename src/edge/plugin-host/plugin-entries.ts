/** The list of plugins in a configuration: the edge's and the Core's alike. */
import { Type } from "@sinclair/typebox";
import { oneOf, Path, Section } from "../../base/config/schema-types.ts";
import { ALLOWANCES } from "./unseen-code.ts";

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
      allow: Type.Optional(
        Type.Array(oneOf(Object.keys(ALLOWANCES)), {
          description:
            "What `sha256` does not cover, and may be in its code: `computed_imports`, `native_code` (plugins.md).",
        }),
      ),
    }),
  ]),
  { default: [], description: "Folders or files of plugins." },
);
