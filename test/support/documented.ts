/** Whether an answer is one that the OpenAPI document of the edge tells of. */

interface Documented {
  readonly content?: Readonly<Record<string, object>>;
  readonly headers?: Readonly<Record<string, { readonly required?: boolean }>>;
}

interface OpenApi {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { responses: Readonly<Record<string, Documented>> }>>>
  >;
}

export interface GivenAnswer {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** Undefined where the document tells of it; else what is wrong. */
export function undocumented(
  document: object,
  { method, path, status, headers, body }: GivenAnswer,
): string | undefined {
  const where = `${method} ${path}: ${status}`;
  const operations = (document as OpenApi).paths[path];
  const type = headers.get("content-type")?.split(";")[0];
  const code = type === "application/problem+json" ? (JSON.parse(body) as { code: string }).code : undefined;
  if (operations === undefined)
    return status === 404 && code === "not_found" ? undefined : `${where} at an unknown path`;
  // Another method is answered by the path as a whole.
  const operation = operations[method.toLowerCase()] ?? Object.values(operations)[0]!;
  const answer = operation.responses[status];
  if (answer === undefined) return `${where} is not in the document`;
  const content = type === undefined ? undefined : answer.content?.[type];
  if (content === undefined) return `${where} as ${type} is not in the document`;
  if (code !== undefined && !JSON.stringify(content).includes(`"${code}"`)) return `${where} with the code ${code}`;
  for (const [name, { required = false }] of Object.entries(answer.headers ?? {})) {
    if (required && !headers.has(name)) return `${where} without the header ${name}`;
  }
  return undefined;
}

/** Every status that the document tells of, at any path. */
export function documentedStatuses(document: object): ReadonlySet<string> {
  const operations = Object.values((document as OpenApi).paths).flatMap((path) => Object.values(path));
  return new Set(operations.flatMap(({ responses }) => Object.keys(responses)));
}
