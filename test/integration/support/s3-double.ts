/** What S3 does with objects, as far as the examples need it: put, get with a range, head. */
export interface S3Double {
  readonly url: string;
  readonly objects: ReadonlyMap<string, Uint8Array>;
  /** Ranges that were asked for. */
  readonly ranges: readonly string[];
  stop(): Promise<void>;
}

export function startS3Double(): S3Double {
  const objects = new Map<string, Uint8Array>();
  const ranges: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const key = new URL(request.url).pathname;
      if (request.method === "PUT") {
        if (request.headers.get("content-encoding")?.includes("aws-chunked"))
          return new Response(null, { status: 501 });
        objects.set(key, new Uint8Array(await request.arrayBuffer()));
        return new Response(null, { headers: { etag: '"1"' } });
      }
      const object = objects.get(key);
      if (object === undefined) return new Response(null, { status: 404 });
      if (request.method === "HEAD")
        return new Response(null, { headers: { "content-length": String(object.length) } });
      const range = request.headers.get("range");
      if (range === null) return new Response(object as BodyInit);
      ranges.push(range);
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range)!;
      const part = object.subarray(Number(from), Number(to) + 1);
      const headers = { "content-range": `bytes ${from}-${Number(from) + part.length - 1}/${object.length}` };
      return new Response(part as BodyInit, { status: 206, headers });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    objects,
    ranges,
    stop: () => server.stop(true),
  };
}
