import fc from "fast-check";

// A length that a test names is a length that comes: without this, fast-check makes lists and texts of ten parts at most,
// whatever `maxLength` says.
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true });

/** fast-check, as all tests use it. */
export { fc };
