/**
 * `reflect-metadata`, which `@peculiar/x509` wants on the global `Reflect` when it loads. Awaited before whatever imports that: once bundled, an
 * import beside theirs would come too late.
 */
export async function loadMetadata(): Promise<void> {
  await import("reflect-metadata");
}
