/**
 * The alphabet of tenants and services (blob-format.md, "Layout"): ASCII, 1 to 128 characters,
 * `[A-Za-z0-9][A-Za-z0-9._:-]*`.
 */
export const NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";

const NAME = new RegExp(NAME_PATTERN);

/**
 * Whether this text can name a tenant or a service (docs/blob-format.md): a letter or digit, then at most 127 of letters, digits and `._:-`.
 *
 * @example
 * ```ts
 * if (!isName(tenant)) throw new SectionError(["tenant"], "is no name of a tenant");
 * ```
 */
export function isName(text: string): boolean {
  return NAME.test(text);
}
