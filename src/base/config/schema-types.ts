/**
 * The kinds of value that a configuration has beyond JSON's own. Each is an ordinary TypeBox schema, so the reference and
 * the editor's completion come from it; `decode` names what `decodeConfiguration` makes of the text. The static type is
 * that of the decoded value.
 */
import { type SchemaOptions, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";
import { NAME_PATTERN } from "../names.ts";

export type Decoding = "duration" | "size" | "path" | "secret" | "address" | "owner";

interface DecodedSchema extends SchemaOptions {
  readonly decode: Decoding;
}

function decoded<T>(decode: Decoding, pattern: string, expected: string, options: SchemaOptions): TUnsafe<T> {
  const schema: DecodedSchema = { pattern, expected, decode, ...options };
  return Type.String(schema) as unknown as TUnsafe<T>;
}

/** `500ms`, `30s`, `5m`, `1h`, `7d`; decoded to milliseconds. */
export const Duration = (options: SchemaOptions = {}): TUnsafe<number> =>
  decoded<number>("duration", "^[0-9]+(ms|s|m|h|d)$", "a duration such as 500ms, 30s, 5m or 1h", options);

/** `512`, `16KiB`, `64MiB`, `1GiB`; decoded to bytes. */
export const Size = (options: SchemaOptions = {}): TUnsafe<number> =>
  decoded<number>("size", "^[0-9]+(B|KiB|MiB|GiB)?$", "a size such as 16KiB or 64MiB", options);

/** A path, relative to the configuration file's folder; decoded to an absolute one. Not opened here. */
export const Path = (options: SchemaOptions = {}): TUnsafe<string> =>
  decoded<string>("path", ".", "a path, relative to the configuration file's folder", options);

/**
 * A secret, in place or as `file:PATH`; decoded to its text, a final line break of the file left away. That of a file follows it: read the
 * section's property whenever you use the secret, and don't keep a copy of it.
 */
export const Secret = (options: SchemaOptions = {}): TUnsafe<string> =>
  decoded<string>("secret", ".", "a secret, or file: and the path of a file that holds it", options);

/** Where to connect or listen. */
export interface HostAndPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[::1]:port`; decoded to both. Port 0 takes a free one. */
export const Address = (options: SchemaOptions = {}): TUnsafe<HostAndPort> =>
  decoded<HostAndPort>(
    "address",
    "^(\\[[0-9a-fA-F:]+\\]|[^:\\[\\]]+):[0-9]{1,5}$",
    "an address such as 127.0.0.1:7402",
    options,
  );

/** Whose a file is; -1 leaves one as it is. */
export interface FileOwner {
  readonly user: number;
  readonly group: number;
}

/** `1000`, `1000:1000`, `:1000`; decoded to both numbers. */
export const Owner = (options: SchemaOptions = {}): TUnsafe<FileOwner> =>
  decoded<FileOwner>(
    "owner",
    "^([0-9]+(:[0-9]+)?|:[0-9]+)$",
    'numeric ids in quotes, such as "1000", "1000:1000" or ":1000"',
    options,
  );

/** A tenant or a service (blob-format.md, "Layout"). */
export const Name = (options: SchemaOptions = {}) =>
  Type.String({
    pattern: NAME_PATTERN,
    expected: "a name of 1 to 128 letters, digits and . _ : -, a letter or digit first",
    ...options,
  });

/** An object that takes no key it does not name. */
export const Section: typeof Type.Object = (properties, options) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** One of some names. */
export function oneOf(names: readonly string[], options: { description?: string; default?: string } = {}) {
  const expected = `one of ${names.join(", ")}`;
  return Type.Union(
    names.map((name) => Type.Literal(name)),
    { expected, ...options },
  ) as unknown as TUnsafe<string>;
}

/** Each of them may be left out. */
export function optional(schemas: Readonly<Record<string, TSchema>>): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, Type.Optional(schema)]));
}

export function decodingOf(schema: TSchema): Decoding | undefined {
  return (schema as Partial<DecodedSchema>).decode;
}

/** What a value of this schema should be, in words. */
export function expectedBy(schema: TSchema): string {
  if (typeof schema.expected === "string") return schema.expected;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.anyOf)) return (schema.anyOf as TSchema[]).map(expectedBy).join(" or ");
  const range = [
    schema.minimum === undefined ? "" : ` from ${schema.minimum}`,
    schema.maximum === undefined ? "" : ` up to ${schema.maximum}`,
  ].join("");
  switch (schema.type) {
    case "integer":
      return `a whole number${range}`;
    case "number":
      return `a number${range}`;
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "object":
      return "a section (key: value lines)";
    case "string":
      return "text";
    default:
      return "another value";
  }
}
