/** The protocol versions that this door speaks, as ten times the major number plus the minor one. */
export const VERSIONS = [21, 20, 14, 13, 12, 11, 10] as const;

export type Version = (typeof VERSIONS)[number];

export const versionOf = (major: number, minor: number): Version | undefined =>
  minor >= 0 && minor < 10 ? VERSIONS.find((version) => version === major * 10 + minor) : undefined;

export const majorOf = (version: Version): number => Math.floor(version / 10);
export const minorOf = (version: Version): number => version % 10;

/** Attributes are one structure of tagged values, no longer a template of named ones; some fields are enumerations (KMIP 2.0, 6.1). */
export const isVersion2 = (version: Version): boolean => version >= 20;

/** What a request in a version that we lack is answered in: the newest of ours that is not newer. */
export const nearestVersion = (major: number, minor: number): Version =>
  VERSIONS.find((version) => majorOf(version) < major || (majorOf(version) === major && minorOf(version) <= minor)) ??
  10;
