/** `crypto-edge core migrate`, `backup` and `restore --config`: on a Core's database, by its configuration. */
import { systemClock } from "../base/time/system-clock.ts";
import { backUp } from "../core/backup.ts";
import { databaseOf } from "../core/database-settings.ts";
import { loadCore } from "../core/load-core.ts";
import { type RestoredService, restore } from "../core/restore.ts";
import { openStore } from "../core/store/open-store.ts";
import { print } from "./print.ts";

export async function migrateDatabase(config: string): Promise<void> {
  const loaded = await loadCore(config);
  try {
    const store = await openStore({
      database: databaseOf(loaded.configuration),
      retainedEvents: loaded.configuration.retained_events,
      clock: systemClock,
      user: "core migrate",
    });
    print(`${store.name}: its tables are those of this version`);
    for (const user of store.migrated ? await store.others() : []) {
      print(`${user} uses it too: a Core of an older version grants nothing until it is updated`);
    }
    await store.close();
  } finally {
    loaded.end();
  }
}

export async function backUpDatabase(
  config: string,
  file: string,
  { force = false, json = false }: { readonly force?: boolean; readonly json?: boolean },
): Promise<void> {
  const loaded = await loadCore(config);
  try {
    const report = await backUp(loaded, file, force);
    if (json) return print(JSON.stringify(report));
    const { tenants, services, versions, log, lastSeq } = report;
    print(`${file}: ${tenants} tenants, ${services} services, ${versions} key versions`);
    print(`up to event ${lastSeq} of the log ${log}`);
    print("keep it apart from the master key, without which it opens nothing; usage and audit are not in it");
  } finally {
    loaded.end();
  }
}

export async function restoreDatabase(
  config: string,
  file: string | undefined,
  options: { readonly versionMargin?: number; readonly force?: boolean; readonly json?: boolean },
): Promise<void> {
  if (options.versionMargin === undefined) {
    throw new Error(
      "say by --version-margin how many versions any one service can have got since the backup, at most: " +
        "new versions get numbers beyond, so that none is used twice (a number that is far too large does no harm: 1000)",
    );
  }
  const loaded = await loadCore(config);
  try {
    const report = await restore(loaded, {
      file,
      versionMargin: options.versionMargin,
      force: options.force ?? false,
    });
    if (options.json === true) return print(JSON.stringify(report));
    print(`a new history has begun: log ${report.log}, from event ${report.lastSeq + 1}`);
    if (report.before !== undefined) print(`the database that was there is ${report.before} now`);
    if (report.newestChangeAt !== undefined) {
      print(`the newest key that is there is of ${report.newestChangeAt}: revocations made since then are forgotten`);
    }
    for (const service of report.services) print(lostLine(service));
    if (report.forgotten.length > 0) {
      print("forgotten, by the database that was there:");
      for (const line of report.forgotten) print(`  ${line}`);
    }
  } finally {
    loaded.end();
  }
}

function lostLine({ tenant, service, newest, lostFrom, lostTo }: RestoredService): string {
  return `${tenant}/${service}: version ${newest} is there; versions ${lostFrom} to ${lostTo}, if they were made, are lost`;
}
