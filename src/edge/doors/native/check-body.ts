/** Checks what a body says against its schema, and names what is wrong with it. Loaded with the app alone. */
import type { TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler, type ValueError } from "@sinclair/typebox/compiler";
import { OperationError } from "../../../base/errors.ts";
import type { ItemsRoute, OperationRoute, SchemaName } from "./route.ts";
import { Items, Results, SCHEMAS } from "./schemas.ts";

const compiled = new Map<SchemaName, TypeCheck<TSchema>>();

function checkerOf(name: SchemaName): TypeCheck<TSchema> {
  let check = compiled.get(name);
  if (check === undefined) {
    check = TypeCompiler.Compile(SCHEMAS[name]);
    compiled.set(name, check);
  }
  return check;
}

/** A body that is none of its schema's. @throws {OperationError} `invalid_request`, with the first field that is wrong */
export function checkBody({ body: name }: OperationRoute, body: unknown): void {
  check(name, body);
}

/** The same for one item of a batch; what a checked one asks for. */
export function readItem(route: ItemsRoute, item: unknown, index: number): unknown {
  check(route.body, item, `items.${index}`);
  return route.read(item);
}

/** The schemas of a whole body and of a whole answer. */
export function schemasOf({ kind, body, answer }: OperationRoute): {
  readonly body: TSchema;
  readonly answer: TSchema;
} {
  const [its, given] = [SCHEMAS[body], SCHEMAS[answer]];
  return kind === "items" ? { body: Items(its), answer: Results(given) } : { body: its, answer: given };
}

function check(name: SchemaName, value: unknown, place?: string): void {
  const checker = checkerOf(name);
  if (!checker.Check(value)) {
    throw new OperationError("invalid_request", describeMistake(checker.Errors(value).First(), place));
  }
}

/** Names the first field that is wrong, never its value. */
function describeMistake(mistake: ValueError | undefined, around?: string): string {
  const path = [...(around === undefined ? [] : [around]), ...(mistake?.path.split("/").slice(1) ?? [])].join(".");
  const place = path === "" ? "The body" : `"${path}"`;
  return `${place} is not as expected: ${mistake?.message ?? "it does not fit"}. /openapi.json has the schema.`;
}
