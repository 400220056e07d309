/** A line of usage as an edge reports it: five creations in a minute, with what a test says of it further. */
export const usageLine = (fields: Record<string, unknown> = {}): string =>
  JSON.stringify({
    tenant: "tenant-a",
    service: "billing",
    version: 1,
    operation: "create",
    outcome: "ok",
    principal: "local",
    count: 5,
    from: "2026-01-01T00:00:00.000Z",
    to: "2026-01-01T00:01:00.000Z",
    ...fields,
  });
