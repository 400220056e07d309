/** `crypto-edge core status`, `edges`, `events`, `audit`: what a Core is, sees and says. */
import { type Command, InvalidArgumentError } from "commander";
import type { CoreStatus } from "../core/admin.ts";
import type { EdgeState } from "../core/presence-views.ts";
import type { LoggedEvent } from "../core/protocol/events.ts";
import { type AdminOptions, administer, administering, connect, table } from "./core-call.ts";
import { eventLine } from "./core-keys.ts";
import { print } from "./print.ts";

interface EventsOptions extends AdminOptions {
  readonly after: number;
  readonly follow?: boolean;
}

interface AuditOptions extends AdminOptions {
  readonly edge?: string;
  readonly since?: string;
  readonly limit: number;
}

const FOLLOW_MS = 1_000;
const DAY_MS = 24 * 3_600_000;

export function registerCoreWatch(core: Command): void {
  administering(
    core.command("status").description("how a Core is: its database, its log, its certificate, its siblings"),
  )
    .addHelpText("after", "\nExample:\n  crypto-edge core status --url https://core.example:8443")
    .action((options: AdminOptions) =>
      administer(options, "GET", "status", undefined, (answer) => statusLines(answer as CoreStatus)),
    );

  administering(
    core.command("edges").description("the edges that the Cores have seen: version, certificate, place in the log"),
  ).action((options: AdminOptions) =>
    administer(options, "GET", "edges", undefined, (answer) => edgeLines((answer as { edges: EdgeState[] }).edges)),
  );

  administering(core.command("events").description("the event log: revocations, rotations, restorations"))
    .option("--after <seq>", "from the event after this number", number(0), 0)
    .option("--follow", "go on with new ones as they come")
    .addHelpText("after", "\nExample:\n  crypto-edge core events --follow")
    .action(async (options: EventsOptions) => {
      const client = await connect(options);
      try {
        for (let after = options.after; ; ) {
          const { events } = (await client.call("GET", `events?after=${after}`)) as { events: LoggedEvent[] };
          for (const event of events) {
            print(options.json === true ? JSON.stringify(event) : `${event.at}  ${eventLine(event)}`);
          }
          const last = events.at(-1);
          if (last !== undefined) after = last.seq;
          else if (options.follow !== true) return;
          else await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
        }
      } finally {
        client.close();
      }
    });

  administering(core.command("audit").description("audit events that edges sent, the newest first, one JSON a line"))
    .option("--edge <id>", "of one edge")
    .option("--since <time>", "received since then, such as 2026-01-31T12:00:00Z")
    .option("--limit <n>", "at most so many", number(1), 100)
    .addHelpText("after", "\nExample:\n  crypto-edge core audit --edge edge-1 --limit 20")
    .action((options: AuditOptions) => {
      const query = new URLSearchParams({ limit: String(options.limit) });
      if (options.edge !== undefined) query.set("edge", options.edge);
      if (options.since !== undefined) query.set("since", options.since);
      return administer(options, "GET", `audit?${query}`, undefined, (answer) =>
        (answer as { events: unknown[] }).events.map((event) => JSON.stringify(event)),
      );
    });
}

function statusLines(status: CoreStatus): string[] {
  const { database, cores } = status;
  return [
    ...table([
      ["version", status.version],
      ["name", status.core],
      ["since", status.startedAt],
      ["database", `${database.name} (${database.kind})`],
      ...(database.away === undefined ? [] : [["", `away: ${database.away}`]]),
      ...(database.unfit === undefined ? [] : [["", database.unfit]]),
      ...(database.full === undefined ? [] : [["", database.full]]),
      ...(database.late === undefined ? [] : [["", `events of other Cores come late: ${database.late}`]]),
      ["log", status.log],
      ["newest event", String(status.lastSeq)],
      ["streams", String(status.streams)],
      ["connections", String(status.connections)],
      ["signing key", status.signingKey],
      ["certificate", `ends ${status.certificateEndsAt} (${daysLeft(status.certificateEndsAt)} days)`],
    ]),
    "",
    ...table([
      ["core", "version", "last seen", "master keys"],
      ...cores.map((one) => [one.core, one.version, one.seenAt, one.masterKeys.join(" ")]),
    ]),
  ];
}

function edgeLines(edges: readonly EdgeState[]): string[] {
  if (edges.length === 0) return ["no edge has called yet"];
  return table([
    [
      "edge",
      "version",
      "last seen",
      "certificate's days",
      "streams",
      "told",
      "applied",
      "behind",
      "leases",
      "usage batches",
      "cores",
    ],
    ...edges.map((one) => [
      one.edge,
      one.version ?? "-",
      one.lastSeenAt,
      one.certificateEndsAt === undefined ? "-" : String(daysLeft(one.certificateEndsAt)),
      String(one.streams),
      String(one.seq ?? "-"),
      String(one.applied ?? "-"),
      one.lag === undefined ? "-" : String(one.lag),
      String(one.leaseCalls),
      String(one.usageBatches),
      one.cores.join(" "),
    ]),
  ]);
}

function daysLeft(time: string): number {
  return Math.floor((Date.parse(time) - Date.now()) / DAY_MS);
}

function number(from: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < from) throw new InvalidArgumentError(`Give a whole number from ${from}.`);
    return value;
  };
}
